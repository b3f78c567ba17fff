//go:build linux

package main

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/apiclient"
	"latchkey/internal/logon"
)

// fleetSize is how many machines hear of a changed policy.
const fleetSize = 10_000

// A member is a machine of a fleet and its one user. It connects for as long as
// it has something to say, as agents do.
type member struct {
	user    *user
	conn    *client
	id      latchkey.UserID // the user's, once codes were fetched
	version uint64
	have    []string // chunks
}

// fleet measures how long a changed policy takes to reach every machine.
func (b *bench) fleet() error {
	s, err := b.newServer("fleet", "latchkey")
	if err != nil {
		return err
	}
	people, err := s.users(fleetSize)
	if err != nil {
		return err
	}
	b.section(fmt.Sprintf("A fleet of %d machines, 32 of them at a time, each with a connection of its own", fleetSize))
	members, err := s.recruit(people)
	if err != nil {
		return err
	}
	if err := b.muster(s, members, "first login", (*member).login); err != nil {
		return err
	}
	if err := b.muster(s, members, "first sync, codes of seven days fetched", (*member).sync); err != nil {
		return err
	}
	if err := b.muster(s, members, "sync without news", (*member).sync); err != nil {
		return err
	}
	before := members[0].version
	const changed = `{"name":"default","offline":{"enabled":true,"days":7,"logins":99}}`
	if err := s.client.Do(context.Background(), http.MethodPost, apiclient.Path("policies"), json.RawMessage(changed), nil); err != nil {
		return err
	}
	if err := b.muster(s, members, "sync of a changed policy", (*member).sync); err != nil {
		return err
	}
	if members[0].version <= before {
		return fmt.Errorf("the changed policy reached nobody")
	}
	memory, err := s.memory()
	b.value("server", "%s", memory)
	return err
}

// muster has every machine do something, and prints a row about it.
func (b *bench) muster(s *server, all []*member, what string, do func(*member) error) error {
	i := 0
	var mu sync.Mutex
	next := func() *member {
		mu.Lock()
		defer mu.Unlock()
		if i == len(all) {
			return nil
		}
		i++
		return all[i-1]
	}
	cpu, err := s.cpu()
	if err != nil {
		return err
	}
	took, errs := make([][]time.Duration, 32), make([]error, 32)
	var wait sync.WaitGroup
	began := time.Now()
	for w := range errs {
		wait.Go(func() {
			for m := next(); m != nil && errs[w] == nil; m = next() {
				start := time.Now()
				errs[w] = m.connected(do)
				took[w] = append(took[w], time.Since(start))
			}
		})
	}
	wait.Wait()
	elapsed := time.Since(began)
	var each []time.Duration
	for w := range errs {
		if errs[w] != nil {
			return fmt.Errorf("%s: %w", what, errs[w])
		}
		each = append(each, took[w]...)
	}
	after, err := s.cpu()
	b.times(what, each, fmt.Sprintf("%.1f s for all", elapsed.Seconds()),
		fmt.Sprintf("server CPU each %.2f ms", 1000*(after-cpu).Seconds()/float64(len(all))))
	return err
}

func (m *member) connected(do func(*member) error) error {
	if err := m.conn.again(); err != nil {
		return err
	}
	defer m.conn.conn.Close()
	return do(m)
}

// recruit enrolls a machine for everybody.
func (s *server) recruit(people []*user) ([]*member, error) {
	text, err := s.machineToken(len(people))
	if err != nil {
		return nil, err
	}
	token, err := api.ParseToken(text)
	if err != nil {
		return nil, err
	}
	out := make([]*member, len(people))
	for i, u := range people {
		identity, sealing, err := keys()
		if err != nil {
			return nil, err
		}
		out[i] = &member{user: u}
		if out[i].conn, err = dial(s.agents, identity, s.ca); err != nil {
			return nil, err
		}
		err = out[i].conn.post(api.EnrollPath, api.EnrollRequest{
			Secret: token.Secret, Name: fmt.Sprintf("fleet-%d", i), OS: "bench", AgentVersion: "bench",
			KeyClass: latchkey.Software, SealingKey: sealing,
		}, new(api.EnrollResponse))
		if err != nil {
			return nil, err
		}
		out[i].conn.conn.Close()
	}
	return out, nil
}

// keys makes what a machine has, in memory.
func keys() (identity tls.Certificate, sealing []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity, nil, err
	}
	t := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	carrier, err := x509.CreateCertificate(rand.Reader, &t, &t, key.Public(), key)
	if err != nil {
		return identity, nil, err
	}
	box, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return identity, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{carrier}, PrivateKey: key}, box.PublicKey().Bytes(), nil
}

func (m *member) login() error {
	code, ok := m.user.next(time.Now())
	if !ok {
		return fmt.Errorf("%s has no fresh code", m.user.name)
	}
	id, err := logon.NewID(rand.Reader)
	if err != nil {
		return err
	}
	state, err := m.conn.begin(id, m.user)
	if err != nil {
		return err
	}
	return m.conn.verify(id, m.user, state, code)
}

// sync reports what the machine holds and fetches what is newer.
func (m *member) sync() error {
	q := api.SyncRequest{Nonce: "00", OS: "bench", AgentVersion: "bench", Generation: 1, Users: []api.Known{}, Events: []api.Report{}}
	if m.version > 0 {
		q.Users = append(q.Users, api.Known{User: m.id, Version: m.version, Floors: []latchkey.Floor{}})
	}
	var a api.SyncResponse
	if err := m.conn.post(api.SyncPath, q, &a); err != nil {
		return err
	}
	if len(a.Users) != 1 {
		return fmt.Errorf("news of %d users", len(a.Users))
	}
	if a.Users[0].Version == m.version {
		return nil
	}
	var bundle api.BundleResponse
	if err := m.conn.post(api.BundlePath, api.BundleRequest{User: a.Users[0].User, Have: append([]string{}, m.have...)}, &bundle); err != nil {
		return err
	}
	m.id, m.version = bundle.User, bundle.Version
	for _, c := range bundle.Chunks {
		m.have = append(m.have, c.SHA256)
	}
	return nil
}
