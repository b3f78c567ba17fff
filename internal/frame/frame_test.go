package frame

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestTheZeroVerdictDenies(t *testing.T) {
	t.Parallel()
	var wire bytes.Buffer
	if err := Send(&wire, Verdict{}); err != nil {
		t.Fatal(err)
	}
	m, err := Receive(&wire)
	if err != nil {
		t.Fatal(err)
	}
	if v := m.(Verdict); v.Outcome != Deny || v.Outcome.LetsIn() {
		t.Errorf("zero verdict arrived as %v", v)
	}
	for o := range 256 {
		if want := o == int(Allow) || o == int(NotRequired); Outcome(o).LetsIn() != want {
			t.Errorf("outcome %d lets in: %v", o, !want)
		}
	}
}

func TestMessagesThatBreakTheFormatAreNotWritten(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]Message{
		"a Hello of no version":        Hello{Kind: "pam"},
		"a Hello without kind":         Hello{MinVersion: 1, MaxVersion: 1},
		"a Begin without operation":    Begin{Service: "sshd", User: "ana"},
		"a Begin without user":         Begin{Op: OpAuthenticate, Service: "sshd"},
		"an over-long user":            Begin{Op: OpAuthenticate, Service: "sshd", User: strings.Repeat("a", 513)},
		"a NUL in the user":            Begin{Op: OpAuthenticate, Service: "sshd", User: "root\x00"},
		"an over-long answer":          Answer{Value: make([]byte, 513)},
		"an Ask of no kind":            Ask{Label: "x"},
		"an Ask without label":         Ask{Kind: Secret},
		"a choice of nothing":          Ask{Kind: Choice, Label: "x"},
		"a choice with a huge id":      Ask{Kind: Choice, Label: "x", Choices: []Option{{ID: strings.Repeat("a", 257), Label: "x"}}},
		"a choice without id":          Ask{Kind: Choice, Label: "x", Choices: []Option{{Label: "x"}}},
		"text that is not UTF-8":       Say{Text: "\xff"},
		"a verdict out of range":       Verdict{Outcome: 5},
		"a reason that is a sentence":  Verdict{Reason: "Wrong code"},
		"an event id that is too long": Verdict{EventID: strings.Repeat("e", 129)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var wire bytes.Buffer
			if err := Send(&wire, m); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v", err)
			}
			if wire.Len() != 0 {
				t.Error("bytes were written all the same")
			}
		})
	}
}

func TestFramesThatAreTooBigAreNotWritten(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]Frame{
		"one field above 65535": {Type: TypeCancel, Fields: []Field{{200, make([]byte, 0x10000)}}},
		"two that add up":       {Type: TypeCancel, Fields: []Field{{200, make([]byte, 40000)}, {201, make([]byte, 40000)}}},
		"unknown type":          {Type: 0x7f},
	} {
		if err := Write(io.Discard, f); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestAnswersDoNotPrint(t *testing.T) {
	t.Parallel()
	a := Answer{ID: 3, Value: []byte("424242")}
	f, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{a, f, &f} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, "4242") || strings.Contains(got, "52 50") {
				t.Errorf("%s of %T prints %s", verb, v, got)
			}
		}
	}
	_, err = Parse(Frame{TypeAnswer, []Field{{TagID, nil}, {TagValue, []byte("424242")}}})
	if err == nil || strings.Contains(err.Error(), "4242") {
		t.Errorf("error tells the value: %v", err)
	}
}

// watched keeps the very memory it was given, to see it wiped afterwards.
type watched struct{ b []byte }

func (w *watched) Write(b []byte) (int, error) { w.b = b; return len(b), nil }

func TestWrittenAnswersAreWiped(t *testing.T) {
	t.Parallel()
	var w watched
	if err := Send(&w, Answer{ID: 1, Value: []byte("424242")}); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(w.b, []byte("4242")) {
		t.Error("the code is still in the buffer")
	}
	value := []byte("424242")
	Frame{TypeAnswer, []Field{{TagValue, value}}}.Wipe()
	if !bytes.Equal(value, make([]byte, 6)) {
		t.Error("Wipe left the value")
	}
}

func TestVersionsMeet(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		low, high, want uint8
		ok              bool
	}{
		"only ours":               {1, 1, 1, true},
		"a newer front-end":       {1, 9, 1, true},
		"a front-end from beyond": {2, 9, 1, false},
	} {
		got, ok := Hello{MinVersion: tc.low, MaxVersion: tc.high}.Common()
		if ok != tc.ok || (ok && got != tc.want) {
			t.Errorf("%s: %d %v", name, got, ok)
		}
	}
}
