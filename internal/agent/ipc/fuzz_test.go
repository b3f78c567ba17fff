package ipc

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"

	"latchkey"
	"latchkey/internal/frame"
	"latchkey/internal/logon"
)

// FuzzConversation: whatever a front-end sends, the conversation ends, and only
// the right code in a well-formed answer lets anybody in.
func FuzzConversation(f *testing.F) {
	add := func(ms ...frame.Message) {
		var b bytes.Buffer
		for _, m := range ms {
			if err := frame.Send(&b, m); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(b.Bytes(), uint32(0))
		f.Add(b.Bytes(), uint32(1001))
	}
	add(hello(), begin("login", "ana"), frame.Answer{ID: 1, Value: []byte("000000")})
	add(hello(), begin("i3lock", "ana"), frame.Cancel{})
	add(hello(), frame.Begin{Op: frame.OpAccount, Service: "sshd", User: "ana", AuthEvent: "e1"})
	add(hello())
	f.Add([]byte{0x40, 0, 0, 0}, uint32(0))
	f.Fuzz(func(t *testing.T, sent []byte, uid uint32) {
		s, _ := newServer(t, &desk{
			logon:   neverRight,
			account: func(latchkey.Logon, string) latchkey.Verdict { return latchkey.DenyVerdict(latchkey.ConditionFailed) },
		})
		line, far := net.Pipe()
		over := make(chan struct{})
		go func() {
			defer close(over)
			s.converse(t.Context(), far, Caller{UID: uid})
		}()
		heard := make(chan []byte)
		go func() {
			all, _ := io.ReadAll(line)
			heard <- all
		}()
		_, _ = line.Write(sent)
		_ = line.Close()
		<-over
		for r := bytes.NewReader(<-heard); ; {
			m, err := frame.Receive(r)
			if err != nil {
				return
			}
			if v, ok := m.(frame.Verdict); ok && v.Outcome.LetsIn() {
				t.Fatalf("let in by %x", sent)
			}
		}
	})
}

// neverRight asks twice and lets nobody in.
func neverRight(ctx context.Context, s logon.Screen, _ latchkey.Logon) latchkey.Verdict {
	for range 2 {
		if _, err := s.Ask(ctx, latchkey.Prompt{Kind: latchkey.AskSecret, Label: "One-time code"}); err != nil {
			return latchkey.DenyVerdict(latchkey.Cancelled)
		}
	}
	return latchkey.DenyVerdict(latchkey.WrongCode)
}
