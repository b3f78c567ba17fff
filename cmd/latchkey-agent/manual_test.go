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

func TestEveryFlagOfTheAgentSaysWhatCouldGoWrong(t *testing.T) {
	t.Parallel()
	root := (&program{}).root()
	for _, words := range [][]string{{"run"}, {"enroll"}} {
		c, _, err := root.Find(words)
		if err != nil {
			t.Fatal(err)
		}
		manualtest.Flags(t, c, "../../docs/admin/settings.md")
	}
}

// A page that names what the program does not do is worse than none.
func TestEveryCommandOnThePagesExists(t *testing.T) {
	t.Parallel()
	manualtest.Docs(t, (&program{}).root(), "../..")
}
