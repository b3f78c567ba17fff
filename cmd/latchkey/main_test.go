package main

import (
	"bufio"
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/store/storetest"
)

func TestMain(m *testing.M) {
	testscript.Main(withPostgres{m}, map[string]func(){"latchkey": func() { os.Exit(Main()) }})
}

// withPostgres ends the PostgreSQL of the scripts behind them.
type withPostgres struct{ m *testing.M }

// Run implements testscript.TestingM.
func (w withPostgres) Run() int { return storetest.Once(w.m) }

// The scripts are what a person types, against a real server on loopback.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server":    startServer,
			"postgres":  func(ts *testscript.TestScript, _ bool, args []string) { ts.Setenv(args[0], storetest.Postgres(t)) },
			"exits":     exits,
			"json":      jsonHas,
			"mode":      ownerOnly,
			"fill":      fill,
			"join":      join,
			"strangers": strangers,
			"setenv":    setenvFromJSON,
			"sql":       runSQL,
			"fetch":     fetch,
			"until":     waitFor,
		},
	})
}

// startServer runs latchkey serve on a fresh data directory, makes the first
// administrator and points the environment at both.
func startServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("server cannot be negated")
	}
	data := ts.MkAbs("data")
	cmd := latchkeyCommand(ts, append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0"}, args...)...)
	log, err := os.Create(ts.MkAbs("server.log"))
	ts.Check(err)
	out, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	done := make(chan struct{})
	ts.Defer(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-done
		if err := cmd.Wait(); err != nil {
			ts.Logf("the server ended with %v", err)
		}
		_ = log.Close()
	})
	url := make(chan string, 1)
	go func() {
		defer close(done)
		watch(out, log, url)
	}()
	select {
	case u := <-url:
		ts.Setenv("LATCHKEY_SERVER", u)
	case <-time.After(60 * time.Second):
		ts.Fatalf("the server does not say where it listens")
	}
	firstAdmin(ts, data, args)
}

var served = regexp.MustCompile(`serving administrators at (https://\S+)`)

func watch(from io.Reader, log io.Writer, url chan<- string) {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		fmt.Fprintln(log, lines.Text())
		if m := served.FindStringSubmatch(lines.Text()); m != nil {
			url <- m[1]
		}
	}
}

func firstAdmin(ts *testscript.TestScript, data string, args []string) {
	create := []string{"admin", "create", "root", "--data", data, "--json"}
	if i := slices.Index(args, "--database"); i >= 0 {
		create = append(create, args[i:i+2]...)
	}
	raw, err := latchkeyCommand(ts, create...).Output()
	ts.Check(err)
	var made created
	ts.Check(json.Unmarshal(raw, &made))
	ts.Setenv("LATCHKEY_TOKEN", made.Token)
	ts.Setenv("LATCHKEY_CA", made.CA)
}

func latchkeyCommand(ts *testscript.TestScript, args ...string) *exec.Cmd {
	path, err := exec.LookPath("latchkey")
	if err != nil {
		path = filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], "latchkey")
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.MkAbs(".")
	for _, k := range []string{"PATH", "HOME", "TMPDIR", "GOCOVERDIR"} {
		cmd.Env = append(cmd.Env, k+"="+ts.Getenv(k))
	}
	return cmd
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
	if e, ok := err.(*exec.ExitError); ok {
		got = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// json PATH VALUE: what stdout holds at a path like 0.groups.1 is this JSON.
func jsonHas(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: json PATH VALUE")
	}
	got, err := json.Marshal(at(ts, ts.ReadFile("stdout"), args[0]))
	ts.Check(err)
	if (string(got) == args[1]) == neg {
		ts.Fatalf("%s is %s, want %s", args[0], got, args[1])
	}
}

func at(ts *testscript.TestScript, text, path string) any {
	var v any
	ts.Check(json.Unmarshal([]byte(text), &v))
	for key := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			next, ok := x[key]
			if !ok {
				ts.Fatalf("there is no %s in %s", key, path)
			}
			v = next
		case []any:
			if key == "len" {
				v = len(x)
				continue
			}
			i, err := strconv.Atoi(key)
			ts.Check(err)
			if i < 0 {
				i += len(x)
			}
			if i >= len(x) {
				ts.Fatalf("there is no %s in %s: %d items", key, path, len(x))
			}
			v = x[i]
		default:
			ts.Fatalf("%s ends at %s", path, key)
		}
	}
	return v
}

// setenv NAME PATH: a variable gets the text that stdout holds at a path.
func setenvFromJSON(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], fmt.Sprint(at(ts, ts.ReadFile("stdout"), args[1])))
}

// sql QUERY: somebody writes to the database in data behind the server's back.
func runSQL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sql QUERY")
	}
	db, err := sql.Open("sqlite", ts.MkAbs("data/latchkey.db")+"?_pragma=busy_timeout(5000)")
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec(args[0])
	ts.Check(err)
}

// fetch FILE REGEXP: prints what is at the address that a line of the file
// names.
func fetch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fetch FILE REGEXP")
	}
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile(args[0]))
	if m == nil {
		ts.Fatalf("no line of %s fits", args[0])
	}
	res, err := http.Get(m[1])
	ts.Check(err)
	defer res.Body.Close()
	_, err = io.Copy(ts.Stdout(), res.Body)
	ts.Check(err)
}

// until REGEXP COMMAND…: the command prints this within ten seconds.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP COMMAND…")
	}
	want := regexp.MustCompile(args[0])
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		cmd := latchkeyCommand(ts, args[2:]...)
		for _, k := range []string{"LATCHKEY_SERVER", "LATCHKEY_TOKEN", "LATCHKEY_CA"} {
			cmd.Env = append(cmd.Env, k+"="+ts.Getenv(k))
		}
		out, _ := cmd.CombinedOutput() // a failure is an output too
		if want.Match(out) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("no %s in %s", want, out)
		}
	}
}

// mode FILE…: nobody but the owner may read the files.
func ownerOnly(ts *testscript.TestScript, _ bool, args []string) {
	for _, a := range args {
		info, err := os.Stat(ts.MkAbs(a))
		ts.Check(err)
		if info.Mode().Perm()&0o077 != 0 {
			ts.Fatalf("%s has mode %v", a, info.Mode())
		}
	}
}

// fill FILE BYTES: a file of that many spaces.
func fill(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	block := []byte(strings.Repeat(" ", 1<<20))
	for left := n; left > 0; left -= int64(len(block)) {
		_, err := f.Write(block[:min(left, int64(len(block)))])
		ts.Check(err)
	}
	ts.Check(f.Close())
}

// join NAME TOKEN: a machine with new keys joins.
func join(ts *testscript.TestScript, neg bool, args []string) {
	token, err := api.ParseToken(args[1])
	ts.Check(err)
	body, err := json.Marshal(api.EnrollRequest{
		Secret: token.Secret, Name: args[0], OS: "linux", AgentVersion: "test", KeyClass: latchkey.Software, SealingKey: newKey(ts).PublicKey().Bytes(),
	})
	ts.Check(err)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		Certificates: []tls.Certificate{carrier(ts)}, InsecureSkipVerify: true, // the server under test is who prints the address
	}}}
	res, err := client.Post(token.URLs[0]+api.EnrollPath, "application/json", bytes.NewReader(body))
	ts.Check(err)
	answer, err := io.ReadAll(res.Body)
	ts.Check(errors.Join(err, res.Body.Close()))
	if (res.StatusCode == http.StatusOK || res.StatusCode == http.StatusCreated) == neg {
		ts.Fatalf("joining answers %d %s", res.StatusCode, answer)
	}
}

func newKey(ts *testscript.TestScript) *ecdh.PrivateKey {
	k, err := ecdh.P256().GenerateKey(rand.Reader)
	ts.Check(err)
	return k
}

// carrier is the certificate that carries a machine's identity key.
func carrier(ts *testscript.TestScript) tls.Certificate {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	ts.Check(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
}

// strangers knocks at each listener with what opens the other.
func strangers(ts *testscript.TestScript, _ bool, _ []string) {
	token, err := api.ParseToken(ts.Getenv("TOKEN"))
	ts.Check(err)
	bearer := "Bearer " + ts.Getenv("LATCHKEY_TOKEN")
	for _, k := range []struct {
		method, url, authorization string
		certified                  bool
		want                       int // 0: no answer at all
	}{
		{"GET", ts.Getenv("LATCHKEY_SERVER") + "/api/v1/users", bearer, false, 200},
		{"GET", ts.Getenv("LATCHKEY_SERVER") + "/api/v1/users", "", true, 401},
		{"POST", token.URLs[0] + api.SyncPath, bearer, true, 401},
		{"POST", token.URLs[0] + api.SyncPath, bearer, false, 0},
		{"GET", token.URLs[0] + "/api/v1/users", bearer, true, 404},
		{"POST", ts.Getenv("LATCHKEY_SERVER") + api.SyncPath, bearer, true, 404},
	} {
		conf := &tls.Config{InsecureSkipVerify: true} // as in join
		if k.certified {
			conf.Certificates = []tls.Certificate{carrier(ts)}
		}
		req, err := http.NewRequest(k.method, k.url, strings.NewReader(`{}`))
		ts.Check(err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", k.authorization)
		client := http.Client{Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}}
		got := 0
		if res, err := client.Do(req); err == nil {
			got = res.StatusCode
			ts.Check(res.Body.Close())
		}
		if got != k.want {
			ts.Fatalf("%s %s with a certificate: %v answers %d, want %d", k.method, k.url, k.certified, got, k.want)
		}
	}
}
