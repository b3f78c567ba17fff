//go:build linux

package lab

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

// Programs are the paths of what the tree builds.
type Programs struct {
	Server, Agent           string // as released
	ClockServer, ClockAgent string // built with -tags testclock
	Module                  string // the PAM module
}

var build = sync.OnceValues(func() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(here), "..", "..")
	if err := lookAtSources(root); err != nil {
		return "", err
	}
	out, err := exec.Command("make", "-C", root, "build", "build-testclock").CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return filepath.Join(root, "bin"), err
})

// lookAtSources opens the folders of all that goes into the programs. The test
// cache remembers what a test has opened: without it, a test would be believed
// green after the code that it tests has changed.
func lookAtSources(root string) error {
	for _, part := range []string{"cmd", "internal", "native", "packaging", "."} {
		err := filepath.WalkDir(filepath.Join(root, part), func(path string, d fs.DirEntry, err error) error {
			if part == "." && d != nil && d.IsDir() && path != root {
				return fs.SkipDir // of the module's own folder, only the files in it
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// programs finds the programs in LATCHKEY_BIN, where make test has just put
// them, or builds them: a test must not run yesterday's.
func programs(tb TB) Programs {
	tb.Helper()
	bin := os.Getenv("LATCHKEY_BIN")
	if bin == "" {
		built, err := build()
		if err != nil {
			tb.Fatalf("lab: make build build-testclock: %v", err)
		}
		bin = built
	}
	p := Programs{
		Server:      filepath.Join(bin, "latchkey"),
		Agent:       filepath.Join(bin, "latchkey-agent"),
		ClockServer: filepath.Join(bin, "testclock", "latchkey"),
		ClockAgent:  filepath.Join(bin, "testclock", "latchkey-agent"),
		Module:      filepath.Join(bin, "pam_latchkey.so"),
	}
	for _, path := range []string{p.Server, p.Agent, p.ClockServer, p.ClockAgent, p.Module} {
		if _, err := os.Stat(path); err != nil {
			tb.Fatalf("lab: %v (make build build-testclock makes it)", err)
		}
	}
	return p
}

// Programs returns the programs under test.
func (l *Lab) Programs() Programs {
	l.tb.Helper()
	return programs(l.tb)
}
