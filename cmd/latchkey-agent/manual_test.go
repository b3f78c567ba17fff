package main

import (
	"testing"

	"latchkey/internal/manual/manualtest"
)

func TestEveryCommandIsInTheManual(t *testing.T) {
	t.Parallel()
	manualtest.Pages(t, (&program{}).root())
}

func TestEveryPromisedCommandExists(t *testing.T) {
	t.Parallel()
	manualtest.Contract(t, (&program{}).root(), "../../docs/contract.md")
}
