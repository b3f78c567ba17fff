//go:build linux

package agent_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/agent/boxfile"
	"latchkey/internal/agent/keystore"
	"latchkey/internal/api"
	"latchkey/internal/audit"
	"latchkey/internal/otp"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
)

// An exchange is one request of an agent and the server's answer.
type exchange struct {
	At       time.Time `json:"at"`
	Path     string    `json:"path"`
	Request  []byte    `json:"request"`
	Status   int       `json:"status"`
	Response []byte    `json:"response"`
}

// A story is what the programs of an earlier version did.
type story struct {
	Keys          map[string][]byte
	Joined, Ended time.Time
	Used          []string // codes of ana that let in
	Pressed       uint64   // next counter of ben's token
	Offline       int      // logins without the server, the last not reported
	Exchanges     []exchange
}

// versions are the archives in test/vectors/upgrade.
func versions(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("../../test/vectors/upgrade/*.tar.gz")
	if err != nil || len(all) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	return all
}

// left is a world of today on what an earlier version left behind: the machine
// was upgraded and started again.
func left(t *testing.T, archive, snapshot string) (*world, story) {
	t.Helper()
	dir := t.TempDir()
	unpack(t, archive, dir)
	var s story
	raw, err := os.ReadFile(filepath.Join(dir, "story.json"))
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]time.Time{"joined": s.Joined, "used": s.Ended.Add(5 * time.Second)}[snapshot]
	w := &world{TB: t, keys: map[string]secret.Bytes{}, boot: "boot-2"}
	for user, key := range s.Keys {
		w.keys[user] = key
	}
	w.offset.Store(int64(time.Until(at)))
	w.booted = -time.Hour - time.Duration(w.offset.Load()) - time.Since(began) // it booted this moment
	w.serve(filepath.Join(dir, snapshot))
	return w, s
}

func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		path := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			err = errors.Join(err, os.MkdirAll(path, 0o700))
		} else {
			var b []byte
			b, err = io.ReadAll(r)
			err = errors.Join(err, os.WriteFile(path, b, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// anew has another handler answer, at another port: the old one may be taken by
// now.
func (w *world) anew(h http.Handler) {
	w.Helper()
	w.unplug()
	w.door.Handler = h
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.ok(err)
	w.addr = l.Addr().String()
	w.listen(l)
}

// A switchable server answers, or is broken.
type switchable struct {
	http.Handler
	off atomic.Bool
}

func (s *switchable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.off.Load() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	s.Handler.ServeHTTP(w, r)
}

// moved tells the machine where the server is now: its old port may be taken.
func (w *world) moved() {
	w.Helper()
	path := filepath.Join(w.state, "identity.json")
	raw, err := os.ReadFile(path)
	w.ok(err)
	var who map[string]any
	w.ok(json.Unmarshal(raw, &who))
	who["urls"] = []string{"https://" + w.addr}
	raw, err = json.Marshal(who)
	w.ok(err)
	w.ok(os.WriteFile(path, raw, 0o600))
}

func (w *world) press(s *story) string {
	c, err := otp.Code(w.keys["ben"], s.Pressed, otp.SHA1, 6)
	w.ok(err)
	s.Pressed++
	return otp.Format(c, 6)
}

func TestWhatEarlierVersionsLeftGoesOn(t *testing.T) {
	t.Parallel()
	for _, archive := range versions(t) {
		t.Run(filepath.Base(archive), func(t *testing.T) {
			t.Parallel()
			w, s := left(t, archive, "used")
			server := &switchable{Handler: w.door.Handler}
			server.off.Store(true) // a laptop that was upgraded and is on a train
			w.anew(server)
			w.moved()
			w.start()
			w.expect(w.signIn("ana", s.Used[len(s.Used)-1]), "deny code_already_used", "B03 a code that was used before the upgrade")
			w.pass(time.Hour)
			before := w.status()
			w.expect(w.signIn("ana", w.next("ana")), "allow verified_offline", "ana's app without the server")
			w.expect(w.signIn("ben", w.press(&s)), "allow verified_offline", "ben's token without the server")
			after := w.status()
			if *before.Users[0].LoginsLeft-*after.Users[0].LoginsLeft != 1 || before.PendingEvents == 0 {
				t.Errorf("the allowance went from %+v to %+v", before.Users, after.Users)
			}
			server.off.Store(false)
			w.sync()
			w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "ana with the server")
			w.expect(w.signIn("ben", w.press(&s)), "allow verified_online", "ben with the server")
			w.sync()
			if got := w.status(); got.PendingEvents != 0 || got.Problem != "" || !got.Online || len(got.Alarms) > 0 {
				t.Errorf("status %+v", got)
			}
			events, err := w.db.Events(t.Context(), audit.Query{Limit: 100})
			w.ok(err)
			offline := 0
			for _, e := range events {
				if e.Offline && e.Reason == latchkey.VerifiedOffline {
					offline++
				}
				if e.Kind == latchkey.Incident {
					t.Errorf("an incident: %+v", e)
				}
			}
			if offline != s.Offline+2 {
				t.Errorf("the server knows of %d offline logins, want %d: those of before and two", offline, s.Offline+2)
			}
		})
	}
}

// tlsOf is a client that shows the machine's certificate, as its agent did.
func (w *world) tlsOf() *http.Client {
	keys, err := keystore.Open(boxfile.KeysDir(w.state))
	w.ok(err)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		Certificates: []tls.Certificate{keys.Identity()}, InsecureSkipVerify: true, // the pin is another test's
	}}}
}

// What an old agent sends is understood, judged as then, and answered in words
// that it knows: all that was in an answer is in it still.
func TestOldAgentsAreAnsweredAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, archive := range versions(t) {
		t.Run(filepath.Base(archive), func(t *testing.T) {
			t.Parallel()
			w, s := left(t, archive, "joined")
			client := w.tlsOf()
			state := "" // of the prompt that is open
			verdicts := 0
			for i, x := range s.Exchanges {
				w.offset.Store(int64(time.Until(x.At)))
				response, err := client.Post("https://"+w.addr+x.Path, "application/json", bytes.NewReader(withState(x.Request, state)))
				w.ok(err)
				body, err := io.ReadAll(response.Body)
				w.ok(errors.Join(err, response.Body.Close()))
				if response.StatusCode != x.Status {
					t.Fatalf("exchange %d, %s: %d %s, then %d", i, x.Path, response.StatusCode, body, x.Status)
				}
				for _, gone := range missing("", decode(t, x.Response), decode(t, body)) {
					t.Errorf("exchange %d, %s: %s is gone\nthen %s\nnow  %s", i, x.Path, gone, x.Response, body)
				}
				then, now := verdictOf(t, x.Response), verdictOf(t, body)
				if then.Outcome != now.Outcome || then.Reason != now.Reason {
					t.Errorf("exchange %d, %s: %s %s, then %s %s", i, x.Path, now.Outcome, now.Reason, then.Outcome, then.Reason)
				}
				if now.Outcome != "" {
					verdicts++
				}
				if x.Path == api.BeginPath {
					state = stateOf(body)
				}
			}
			if verdicts < 4 {
				t.Errorf("only %d verdicts were compared", verdicts)
			}
		})
	}
}

// withState puts the state of this server's prompt into an answer: whoever asked
// is who is answered.
func withState(request []byte, state string) []byte {
	var q map[string]json.RawMessage
	if json.Unmarshal(request, &q) != nil || q["state"] == nil || state == "" {
		return request
	}
	q["state"] = json.RawMessage(state)
	raw, err := json.Marshal(q)
	if err != nil {
		return request
	}
	return raw
}

func stateOf(body []byte) string {
	var t struct {
		Prompt struct{ State json.RawMessage }
	}
	_ = json.Unmarshal(body, &t) // not every answer is a prompt
	return string(t.Prompt.State)
}

func decode(t *testing.T, raw []byte) (v any) {
	t.Helper()
	if len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return opened(v)
}

// opened puts the documents in signed envelopes in the envelopes' places.
func opened(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, one := range v {
			v[k] = opened(one)
		}
	case []any:
		for i, one := range v {
			v[i] = opened(one)
		}
	case string:
		var e seal.Envelope
		var raw []byte
		if json.Unmarshal([]byte(`"`+v+`"`), &raw) == nil && json.Unmarshal(raw, &e) == nil && len(e.Payload) > 0 {
			var doc any
			if json.Unmarshal(e.Payload, &doc) == nil {
				return map[string]any{e.PayloadType: opened(doc)}
			}
		}
	}
	return v
}

// missing lists what then had and now lacks, or has as something else.
func missing(path string, then, now any) []string {
	a, ok := then.(map[string]any)
	if !ok {
		if then != nil && fmt.Sprintf("%T", then) != fmt.Sprintf("%T", now) {
			return []string{fmt.Sprintf("%s (%T, now %T)", path, then, now)}
		}
		return nil
	}
	b, _ := now.(map[string]any)
	var out []string
	for k, v := range a {
		if _, there := b[k]; !there {
			out = append(out, path+"."+k)
			continue
		}
		out = append(out, missing(path+"."+k, v, b[k])...)
	}
	slices.Sort(out)
	return out
}

func verdictOf(t *testing.T, body []byte) (v api.Verdict) {
	t.Helper()
	var turn api.Turn
	var e seal.Envelope
	if json.Unmarshal(body, &turn) != nil || len(turn.Verdict) == 0 {
		return v
	}
	if err := errors.Join(json.Unmarshal(turn.Verdict, &e), json.Unmarshal(e.Payload, &v)); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMissingNoticesWhatIsGone(t *testing.T) {
	t.Parallel()
	then := decode(t, []byte(`{"a":{"b":1,"c":"x"},"d":[1],"e":null}`))
	got := missing("", then, decode(t, []byte(`{"a":{"b":"1","x":2},"d":[],"e":3}`)))
	if want := ".a.b (float64, now string) .a.c"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}
