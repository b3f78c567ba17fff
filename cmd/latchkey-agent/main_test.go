//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/authn"
	"latchkey/internal/ca"
	"latchkey/internal/enroll"
	"latchkey/internal/fleet"
	"latchkey/internal/httpd"
	"latchkey/internal/otp"
	"latchkey/internal/store"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"latchkey-agent": func() { os.Exit(Main()) }})
}

// The scripts are what a person types, against a real server on loopback.
func TestScripts(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root: only root may sign others in")
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			// Another user must be able to go there.
			dir, err := os.MkdirTemp("", "latchkey-agent-")
			if err != nil {
				return err
			}
			e.Defer(func() { _ = os.RemoveAll(dir) })
			e.Setenv("PUBLIC", dir)
			return os.Chmod(dir, 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server": startServer,
			"cut":    cutServer, "disable": disableAna,
			"code":     code,
			"puttoken": putToken,
			"ready":    ready,
			"exits":    exits,
			"json":     jsonHas,
			"runsas":   runsAs,
			"plant":    plant,
			"clean":    clean,
			"reports":  reports,
		},
	})
}

// A backend is the server of one script.
type backend struct {
	db     *store.DB
	fleet  *fleet.Fleet
	enroll *enroll.Enroll
	key    []byte // of the user ana's app
	stop   func()
}

var backends = map[*testscript.TestScript]*backend{}

// server: a server with the user ana; TOKEN is set to an enrollment token, and
// FOREIGN to one whose pin is another server's.
func startServer(ts *testscript.TestScript, _ bool, _ []string) {
	ctx, now := context.Background(), time.Now
	b := &backend{}
	var err error
	b.db, err = store.Open(ctx, store.Config{Dir: ts.MkAbs("data"), Now: now})
	ts.Check(err)
	k := b.db.Keys()
	authority, err := ca.New(k.CA, k.Deployment, now)
	ts.Check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	url := "https://" + l.Addr().String()
	b.fleet = fleet.New(b.db, fleet.Keys{Deployment: k.Deployment, Epoch: k.Epoch, Signer: k.Signer},
		fleet.Door{URLs: []string{url}, Pin: authority.Pin()}, now, rand.Reader)
	logons := authn.New(b.db, authn.Keys{Deployment: k.Deployment, Signer: k.Signer, State: k.State}, now)
	config, err := authority.AgentServer([]string{"127.0.0.1"})
	ts.Check(err)
	door := httpd.Door{Name: "agent", Listener: l, TLS: config, Handler: httpd.Agent(httpd.Agents{
		Who: b.db.MachineByKey, Fleet: b.fleet,
		Logons: func(m latchkey.MachineID) httpd.Logons { return logons.ForMachine(m) },
	})}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- httpd.New(slog.New(slog.DiscardHandler), door).Serve(ctx) }()
	stopped := false
	b.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
		}
	}
	ts.Defer(func() { b.stop(); _ = b.db.Close() })
	b.addUser(ts)
	made, err := b.fleet.CreateToken(ctx, "admin", api.CreateToken{})
	ts.Check(err)
	ts.Setenv("TOKEN", made.Token)
	ts.Setenv("SERVER", url)
	_, foreign, err := api.NewToken([]string{url}, make([]byte, 32), make([]byte, 14), now().Add(time.Hour))
	ts.Check(err)
	ts.Setenv("FOREIGN", foreign)
	backends[ts] = b
}

func (b *backend) addUser(ts *testscript.TestScript) {
	ctx := context.Background()
	_, err := b.db.AddUser(ctx, latchkey.User{Name: "ana", Directory: latchkey.Builtin}, latchkey.Event{Kind: latchkey.UserAdded})
	ts.Check(err)
	b.enroll = enroll.New(b.db, time.Now, rand.Reader)
	a, err := b.enroll.AddAuthenticator(ctx, "admin", "ana", api.AddAuthenticator{Kind: latchkey.TOTP})
	ts.Check(err)
	b.key, err = otp.ParseBase32(a.Secret)
	ts.Check(err)
}

// cut ends the server.
func cutServer(ts *testscript.TestScript, _ bool, _ []string) { backends[ts].stop() }

// disable: ana may not log in any more, as the machine hears at its next contact.
func disableAna(ts *testscript.TestScript, _ bool, _ []string) {
	db, ctx := backends[ts].db, context.Background()
	u, err := db.UserNamed(ctx, "ana")
	ts.Check(err)
	ts.Check(db.SetDisabled(ctx, u.ID, true, latchkey.Event{Kind: latchkey.UserDisabled}))
}

// puttoken writes the token to the file "token".
func putToken(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(os.WriteFile(ts.MkAbs("token"), []byte(ts.Getenv("TOKEN")+"\n"), 0o600))
}

// code FILE STEP: the file holds ana's code, STEP time steps from now. Only 0
// and 1 are right whatever the clock does meanwhile.
func code(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	c, err := otp.Code(backends[ts].key, otp.Step(time.Now(), 30)+uint64(n), otp.SHA1, 6)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(otp.Format(c, 6)+"\n"), 0o600))
}

// ready SOCKET…: waits until somebody listens.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	for _, a := range args {
		for until := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			conn, err := net.Dial("unix", ts.MkAbs(a))
			if err == nil {
				_ = conn.Close()
				break
			}
			if time.Now().After(until) {
				ts.Fatalf("nobody listens: %v", err)
			}
		}
	}
}

// exits CODE COMMAND…: the command must end with exactly that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		got = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// json KEY VALUE: stdout is an object with this JSON under the key.
func jsonHas(ts *testscript.TestScript, neg bool, args []string) {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for key := range strings.SplitSeq(args[0], ".") {
		switch x := v.(type) {
		case map[string]any:
			next, ok := x[key]
			if !ok {
				ts.Fatalf("there is no %s in %s", key, args[0])
			}
			v = next
		case []any:
			i, err := strconv.Atoi(key)
			ts.Check(err)
			if i >= len(x) {
				ts.Fatalf("there is no %s in %s", key, args[0])
			}
			v = x[i]
		}
	}
	got, err := json.Marshal(v)
	ts.Check(err)
	if (string(got) == args[1]) == neg {
		ts.Fatalf("%s is %s, want %s", args[0], got, args[1])
	}
}

// runsas UID STATE: the agent of that state directory has this uid in all of
// its threads, no way back, no core dumps.
func runsAs(ts *testscript.TestScript, _ bool, args []string) {
	pid := agentOf(ts, args[1])
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%s/task/*/status", pid))
	ts.Check(err)
	for _, path := range tasks {
		raw, err := os.ReadFile(path)
		ts.Check(err)
		for _, line := range []string{
			"Uid:\t" + strings.Repeat(args[0]+"\t", 3) + args[0] + "\n",
			"CapEff:\t0000000000000000\n",
		} {
			if !strings.Contains(string(raw), line) {
				ts.Fatalf("%s lacks %q:\n%s", path, line, raw)
			}
		}
	}
	limits, err := os.ReadFile("/proc/" + pid + "/limits")
	ts.Check(err)
	for line := range strings.Lines(string(limits)) {
		if f := strings.Fields(line); strings.HasPrefix(line, "Max core file size") && f[4] != "0" {
			ts.Fatalf("it may dump its core: %s", line)
		}
	}
}

func agentOf(ts *testscript.TestScript, state string) string {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	ts.Check(err)
	for _, path := range all {
		raw, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(raw), "\x00run\x00") && strings.Contains(string(raw), "\x00"+state+"\x00") {
			return strings.Split(path, "/")[2]
		}
	}
	ts.Fatalf("no agent runs with the state %s", state)
	return ""
}
