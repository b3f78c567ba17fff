//go:build linux

package supervisor

import (
	"context"
	"net"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// manager is a service manager that listens at the address it puts into the
// environment.
func manager(t *testing.T, name string) func() string {
	t.Helper()
	path := name
	if name[0] == '@' {
		path = "\x00" + name[1:]
	}
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	t.Setenv(socketVariable, name)
	return func() string {
		b := make([]byte, 4096)
		if err := l.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func TestTheServiceManagerIsTold(t *testing.T) {
	for name, at := range map[string]string{
		"at a path":             filepath.Join(t.TempDir(), "s"),
		"at an abstract socket": "@latchkey-supervisor-" + filepath.Base(t.TempDir()) + time.Now().Format("150405.000000000"),
	} {
		t.Run(name, func(t *testing.T) {
			heard := manager(t, at)
			Ready()
			Reloading()
			Say("two\nlines")
			Stopping()
			for _, want := range []string{`^READY=1$`, `^RELOADING=1\nMONOTONIC_USEC=[1-9]\d*$`, `^STATUS=two lines$`, `^STOPPING=1$`} {
				if got := heard(); !regexp.MustCompile(want).MatchString(got) {
					t.Errorf("%q, want %s", got, want)
				}
			}
		})
	}
}

func TestNobodyWaitsForAManagerThatIsNotThere(t *testing.T) {
	t.Setenv(socketVariable, filepath.Join(t.TempDir(), "nobody"))
	t.Setenv(intervalVariable, "")
	Ready()
	Watch(t.Context(), func() { t.Error("asked without a watchdog") })
}

func TestTheWatchdogIsFedOnlyByWhoWorks(t *testing.T) {
	heard := manager(t, filepath.Join(t.TempDir(), "s"))
	t.Setenv(intervalVariable, "2000")
	ctx, stop := context.WithCancel(t.Context())
	asked, over := make(chan bool), make(chan bool)
	go func() { Watch(ctx, func() { asked <- true }); close(over) }()
	<-asked
	if got := heard(); got != "WATCHDOG=1" {
		t.Errorf("%q", got)
	}
	stop()
	select { // one question may be open
	case <-asked:
	case <-over:
	}
	<-over
}
