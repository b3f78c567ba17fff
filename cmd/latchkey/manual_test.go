package main

import (
	"net"
	"os"
	"os/exec"
	"strings"
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

// Whoever presses Tab asks nobody, and what is in his environment stays there.
func TestCompletionNeedsNoServerAndTellsNothing(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan bool, 1)
	go func() {
		if _, err := l.Accept(); err == nil {
			asked <- true
		}
	}()
	for _, line := range [][]string{{""}, {"user", ""}, {"user", "show", ""}, {"machine", "exempt", "pc", "--"}, {"policy", "explain", "a"}, {"serve", "--data", ""}} {
		cmd := exec.Command("latchkey", append([]string{"__complete"}, line...)...)
		cmd.Env = append(os.Environ(), "LATCHKEY_SERVER=https://"+l.Addr().String(), "LATCHKEY_TOKEN=lka_planted", "LATCHKEY_CA=/nowhere/planted")
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "planted") {
			t.Errorf("completing %q: %v %s", line, err, out)
		}
		if line[0] == "" && !strings.Contains(string(out), "machine\t") {
			t.Errorf("no commands: %s", out)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-asked:
		t.Error("completion asked the server")
	default:
	}
}

func TestTheShellOffersTheValuesOfAFlag(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]string{
		"admin create --role": "owner admin helpdesk auditor", "token create --scope": "read users machines policies tokens",
		"machine exempt --until": "12h 7d 30d never", "policy explain --scenario": "console unlock elevate remote remote-client",
	} {
		out, err := exec.Command("latchkey", append(append([]string{"__complete"}, strings.Fields(flag)...), "")...).Output()
		words := strings.Fields(string(out))
		if err != nil || len(words) == 0 || strings.Join(words[:len(words)-1], " ") != want || words[len(words)-1] != ":4" { // :4 no files
			t.Errorf("%s: %v %q", flag, err, words)
		}
	}
}

func TestEveryFlagOfTheServerSaysWhatCouldGoWrong(t *testing.T) {
	t.Parallel()
	root := (&program{}).root()
	for _, words := range [][]string{{"serve"}, {"machine", "set"}, {"machine", "exempt"}, {"machine", "token", "create"}} {
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
