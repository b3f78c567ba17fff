//go:build linux

package lab_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"latchkey/test/lab"
)

func TestLinesForPeopleDoWhatTheMethodsDo(t *testing.T) {
	t.Parallel()
	m := lab.New(t).Machine("laptop", nil, "ana")
	m.ServeSSH("keyboard-interactive")
	app := lab.Scan(t, "otpauth://totp/x:ana?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=8&algorithm=SHA1&period=30")

	if got := sh(t, m.Line("sh", "-c", `echo "$1"; cat /proc/sys/kernel/hostname`, "sh", `it's "one" word`)); got != "it's \"one\" word\nlaptop\n" {
		t.Errorf("in the cell: %q", got)
	}
	before, got, after := app.Code(time.Now()), strings.TrimSpace(sh(t, app.Line())), app.Code(time.Now())
	if got != before && got != after {
		t.Errorf("the app shows %s, want %s or %s", got, before, after)
	}
	term := m.OnTerminal("sh", "-c", m.SSHLine("ana")+" id -un")
	term.Expect(`assword: `)
	term.Type(lab.Password)
	term.Expect(`\bana\b`)
}

func sh(t *testing.T, line string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}

func TestCodesAreTheStandards(t *testing.T) {
	t.Parallel()
	totp := lab.Scan(t, "otpauth://totp/x:ana?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=8")
	if got := totp.Code(time.Unix(59, 0)); got != "94287082" { // RFC 6238, appendix B
		t.Errorf("TOTP at 59 s is %s", got)
	}
	hotp := lab.Scan(t, "otpauth://hotp/x:ana?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&counter=0")
	for _, want := range []string{"755224", "287082"} { // RFC 4226, appendix D
		if got := hotp.Press(); got != want {
			t.Errorf("HOTP press shows %s, want %s", got, want)
		}
	}
}

func TestClocksPassTogetherAndAreSetAlone(t *testing.T) {
	t.Parallel()
	c := lab.New(t).Clock("x")
	c.NextStep(30 * time.Second)
	if s := c.Now().Second() % 30; s != 0 {
		t.Errorf("%d s into the step, want its beginning", s)
	}
	before := c.Now()
	c.Pass(48 * time.Hour)
	c.Set(-time.Hour)
	if d := c.Now().Sub(before).Round(time.Minute); d != 47*time.Hour {
		t.Errorf("the clock moved by %v, want 47h", d)
	}
}
