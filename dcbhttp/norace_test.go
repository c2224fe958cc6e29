//go:build !race

package dcbhttp

const underRace = false
