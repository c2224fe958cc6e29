package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// make dist sets these with -ldflags -X. The date is the date of the commit, so that the same
// commit gives the same binary.
var stampedVersion, stampedCommit, stampedDate string

func (p *program) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of dcbstore",
		Long:  `Print the version of dcbstore, the commit it was built from and its date, the version of Go, and the system.`,
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			built := stamp()
			if asJSON {
				return p.printJSON(built)
			}
			from := ""
			if built.Commit != "" {
				from = fmt.Sprintf(" (commit %.12s of %s)", built.Commit, built.Date)
			}
			_, err := fmt.Fprintf(p.out, "dcbstore %s%s %s %s/%s\n", built.Version, from, built.Go, built.OS, built.Arch)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object instead")
	return cmd
}

// built describes the build of this program.
type built struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Date    string `json:"date"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// stamp returns the values that make dist set, or else those that the go command recorded.
func stamp() built {
	b := built{
		Version: stampedVersion, Commit: stampedCommit, Date: stampedDate,
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
	}
	if b.Version != "" {
		return b
	}
	b.Version = "(unknown)"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = info.Main.Version
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Commit = setting.Value
		case "vcs.time":
			b.Date = setting.Value
		}
	}
	return b
}
