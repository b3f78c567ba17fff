//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"latchkey/internal/api"
	"latchkey/internal/apiclient"
	"latchkey/internal/otp"
)

// A server is `latchkey serve` on a folder of its own and loopback ports.
type server struct {
	*process
	b       *bench
	program string
	env     []string
	data    string
	on      []string // options that name its database; none: its folder
	admin   string   // host:port
	agents  string   // host:port
	token   string
	caFile  string
	ca      []byte
	client  *apiclient.Client
}

// newServer starts a server on a fresh folder and makes its administrator.
func (b *bench) newServer(name, program string, env ...string) (*server, error) {
	s := &server{b: b, program: filepath.Join(b.bin, program), env: env, data: filepath.Join(b.dir, name)}
	return s, s.begin()
}

// begin starts a server for the first time.
func (s *server) begin() (err error) {
	if s.admin, err = freePort(); err != nil {
		return err
	}
	if s.agents, err = freePort(); err != nil {
		return err
	}
	if _, err := s.start(); err != nil {
		return err
	}
	out, err := run(s.env, append([]string{s.program, "admin", "create", filepath.Base(s.data), "--data", s.data, "--json"}, s.on...)...)
	if err != nil {
		return err
	}
	var made struct{ Token, CA string }
	if err := json.Unmarshal(out, &made); err != nil {
		return err
	}
	if s.ca, err = os.ReadFile(made.CA); err != nil {
		return err
	}
	s.token, s.caFile = made.Token, made.CA
	s.client, err = apiclient.New("https://"+s.admin, s.token, s.ca, time.Now)
	return err
}

// start runs the server and returns how long its first answer took.
func (s *server) start() (first time.Duration, err error) {
	s.process, err = start(s.env, append([]string{s.program, "serve", "--data", s.data, "--listen", s.admin, "--agent-listen", s.agents,
		"--public-url", "https://" + s.admin, "--agent-url", "https://" + s.agents}, s.on...)...)
	if err != nil {
		return 0, err
	}
	s.b.running = append(s.b.running, s.process)
	probe := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // before the first answer there is no CA to check with
	}}
	err = s.until("an answer", func() bool {
		r, err := probe.Get("https://" + s.admin + "/healthz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return time.Since(s.started), err
}

// firstUID is the uid of the first user; scripts/bench counts from it too.
const firstUID = 61000

// A user is somebody with a TOTP authenticator.
type user struct {
	name  string
	uid   int
	codes *otp.Generator
	last  uint64 // the step that was used last
}

// users adds people with an authenticator each, through the API.
func (s *server) users(n int) ([]*user, error) {
	out, errs := make([]*user, n), make([]error, 32)
	var all sync.WaitGroup
	for worker := range errs {
		all.Go(func() {
			for i := worker; i < n && errs[worker] == nil; i += len(errs) {
				out[i], errs[worker] = s.user(fmt.Sprintf("bench%d", i), firstUID+i)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *server) user(name string, uid int) (*user, error) {
	ctx := context.Background()
	if err := s.client.Do(ctx, http.MethodPost, apiclient.Path("users"), api.AddUser{Name: name}, nil); err != nil {
		return nil, err
	}
	var made api.NewAuthenticator
	err := s.client.Do(ctx, http.MethodPost, apiclient.Path("users", name, "authenticators"), api.AddAuthenticator{Kind: "totp"}, &made)
	if err != nil {
		return nil, err
	}
	secret, err := otp.ParseBase32(made.Secret)
	if err != nil {
		return nil, err
	}
	codes, err := otp.NewGenerator(secret, otp.SHA1, 6)
	return &user{name: name, uid: uid, codes: codes}, err
}

// behind is how far a machine's clock may be behind ours: its time is the
// server's word plus what has passed since it came.
const behind = 5 * time.Second

// next is a code of the user that was never used and is good at a time; false
// where he has to wait for one.
func (u *user) next(now time.Time) (string, bool) {
	if u.fresh(now) == 0 {
		return "", false
	}
	u.last = max(u.last+1, otp.Step(now, 30))
	return otp.Format(u.codes.At(u.last), 6), true
}

// fresh is how many such codes there are: that of this step and, once machines
// that are behind know of this step too, that of the next.
func (u *user) fresh(now time.Time) int {
	step := otp.Step(now, 30)
	if u.last > otp.Step(now.Add(-behind), 30) {
		return 0
	}
	if otp.Step(now.Add(-behind), 30) < step {
		return 1
	}
	return int(step + 1 - max(u.last, step-1))
}

// wrong is a code that is not his at a time.
func (u *user) wrong(now time.Time) string {
	step, code := otp.Step(now, 30), uint32(0)
	for n := step - 2; n <= step+2; n++ {
		if u.codes.At(n) == code {
			code, n = code+1, step-3
		}
	}
	return otp.Format(code, 6)
}

// machineToken is what machines enroll with.
func (s *server) machineToken(uses int) (string, error) {
	var made api.Token
	err := s.client.Do(context.Background(), http.MethodPost, apiclient.Path("machine-tokens"), api.CreateToken{Uses: uses}, &made)
	return made.Token, err
}
