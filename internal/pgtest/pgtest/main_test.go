package main

import (
	"errors"
	"os/exec"
	"testing"
)

func TestAnInterruptEndsTheCommand(t *testing.T) {
	t.Parallel()
	err := outlive(exec.Command("sh", "-c", "kill -INT $$; exit 0"))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Exited() {
		t.Errorf("the command ended with %v; want an end by its interrupt", err)
	}
}
