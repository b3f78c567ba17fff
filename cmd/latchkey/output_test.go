package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"rsc.io/qr"
)

func TestHostileTextStaysText(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ in, want string }{
		"plain":          {`ana "the boss" O'Neil \`, `ana "the boss" O'Neil \`},
		"umlauts":        {"Zoë 太郎", "Zoë 太郎"},
		"an escape":      {"a\x1b[2Jb", `a\x1b[2Jb`},
		"a new line":     {"a\nlatchkey: error: b", `a\nlatchkey: error: b`},
		"a bidi switch":  {"a\u202eb", `a\u202eb`},
		"a line of 2028": {"a\u2028b", `a\u2028b`},
		"broken UTF-8":   {"a\xffb\n", `a\xffb\n`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := visible(tc.in); got != tc.want {
				t.Errorf("visible = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestO03CSVCellsAreNoFormulas(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	tab := &table{head: []string{"user"}}
	for _, cell := range []string{"=HYPERLINK(1)", "+1", "-1", "@x", "\tx", "\rx", "＝1", "＋1", "－1", "＠x", "é=1", "x=1", `a"b`, ""} {
		tab.add(cell, "x")
	}
	if err := tab.csv(&out); err != nil {
		t.Fatal(err)
	}
	want := "user\n'=HYPERLINK(1),x\n'+1,x\n'-1,x\n'@x,x\n'\tx,x\n\"'\rx\",x\n'＝1,x\n'＋1,x\n'－1,x\n'＠x,x\né=1,x\nx=1,x\n\"a\"\"b\",x\n,x\n"
	if out.String() != want {
		t.Errorf("csv = %q\nwant  %q", out.String(), want)
	}
}

func TestUntil(t *testing.T) {
	t.Parallel()
	now := time.Date(2027, 1, 10, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"2027-01-31":           "2027-02-01T00:00:00Z",
		"2027-01-31T18:00:00Z": "2027-01-31T18:00:00Z",
		"12h":                  "2027-01-11T00:00:00Z",
		"30d":                  "2027-02-09T12:00:00Z",
		"":                     "",
		"0d":                   "",
		"-1h":                  "",
		"-5d":                  "",
		"tomorrow":             "",
		"99999999999999999d":   "",
		"2027-02-30":           "",
	} {
		got, err := parseUntil(in, now)
		if (err != nil) != (want == "") || err == nil && when(got) != want {
			t.Errorf("until %q = %v, %v, want %q", in, got, err, want)
		}
	}
}

// The picture is held to the encoder's own bits: every module of it, and the
// quiet zone around, as a scanner sees them.
func TestTheQRCodeShowsEveryModule(t *testing.T) {
	t.Parallel()
	const uri = "otpauth://totp/Latchkey:ana?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	code, err := qr.Encode(uri, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	drawQR(&out, uri)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for y := -quiet; y < code.Size+quiet; y++ {
		line := []rune(lines[(y+quiet)/2])
		for x := -quiet; x < code.Size+quiet; x++ {
			dark := !strings.ContainsRune(map[int]string{0: "█▀", 1: "█▄"}[(y+quiet)%2], line[x+quiet])
			if dark != code.Black(x, y) {
				t.Fatalf("module %d, %d is dark: %v", x, y, dark)
			}
		}
	}
}

func TestATokenNeverComesFromTheCommandLine(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"user", "list", "--token", "lka_x"}, streams{strings.NewReader(""), &out, &errs}); code != exitUsage {
		t.Errorf("exit code %d, want %d: every user of a machine sees command lines", code, exitUsage)
	}
}
