//go:build !race

package dcbgrpc

const underRace = false
