package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"latchkey"
	"latchkey/internal/audit"
	"latchkey/internal/authn"
	"latchkey/internal/ca"
	"latchkey/internal/enroll"
	"latchkey/internal/fleet"
	"latchkey/internal/httpd"
	"latchkey/internal/people"
	"latchkey/internal/report"
	"latchkey/internal/settings"
	"latchkey/internal/store"
)

// version is what the program calls itself.
const version = "0.2.0"

// writeCA puts the CA's certificate beside the database, for administrators.
func writeCA(db *store.DB) (string, error) {
	k := db.Keys()
	authority, err := ca.New(k.CA, k.Deployment, now)
	if err != nil {
		return "", err
	}
	path, err := authority.Write(db.Dir(), store.Give)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path) // whoever uses it stands somewhere else
}

// A serving is a server whose addresses are taken.
type serving struct {
	db        *store.DB
	ca        *ca.Authority
	admin     net.Listener
	agent     net.Listener
	numbers   net.Listener // nil: nobody asks for metrics
	metrics   *httpd.Metrics
	publicURL string
	agentURLs []string
	rpID      string
	end       context.CancelCauseFunc // of serving
	caFile    string
	caSHA256  string
	holder    string // what this server calls itself
	notary    audit.Notary
	sealer    *audit.Sealer
	tuned     *tuning

	probe  sync.Mutex // guards what follows
	probed time.Time
	health error
}

// sealerLease is how long other servers of the deployment wait for one that
// died while it sealed the audit trail.
const sealerLease = 10 * time.Second

// listen takes the addresses and settles under which names they are known.
func listen(db *store.DB, f serveFlags) (*serving, error) {
	k := db.Keys()
	authority, err := ca.New(k.CA, k.Deployment, now)
	if err != nil {
		return nil, err
	}
	s := &serving{db: db, ca: authority, publicURL: f.publicURL, agentURLs: f.agentURLs, rpID: f.rpID}
	s.notary = audit.NotaryOf(k.Deployment, db.Ring)
	s.holder = rand.Text()
	s.sealer = audit.NewSealer(db, s.notary, s.holder, sealerLease, now)
	if s.caFile, err = authority.Write(db.Dir(), store.Give); err != nil {
		return nil, err
	}
	if s.caSHA256, err = fingerprint(s.caFile); err != nil {
		return nil, err
	}
	if s.admin, err = net.Listen("tcp", f.listen); err != nil {
		return nil, busy(err)
	}
	if s.agent, err = net.Listen("tcp", f.agentListen); err != nil {
		return nil, errors.Join(busy(err), s.admin.Close())
	}
	if f.metricsListen != "" {
		if s.numbers, err = net.Listen("tcp", f.metricsListen); err != nil {
			return nil, errors.Join(busy(err), s.close())
		}
	}
	s.name()
	return s, nil
}

func busy(err error) error {
	return latchkey.Errorf(latchkey.Busy, "%v", err).WithHint("is a server running here already? --listen and --agent-listen take other addresses")
}

func (s *serving) name() {
	if s.publicURL == "" {
		s.publicURL = "https://" + reachable(s.admin.Addr())
	}
	if len(s.agentURLs) == 0 {
		s.agentURLs = []string{"https://" + reachable(s.agent.Addr())}
	}
	if s.rpID == "" {
		s.rpID = hostOf(s.publicURL)
	}
}

// reachable is an address that others can use: that of a listener on all
// interfaces is none.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
		if name, err := os.Hostname(); err == nil && name != "" {
			host = name
		}
	}
	return net.JoinHostPort(host, port)
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// names are the hosts that the server's certificate is for.
func (s *serving) names() []string {
	all := []string{"localhost", "127.0.0.1", "::1"}
	for _, u := range append([]string{s.publicURL}, s.agentURLs...) {
		if h := hostOf(u); !slices.Contains(all, h) {
			all = append(all, h)
		}
	}
	return all
}

// fingerprint is the SHA-256 of the certificate in a file, as openssl shows it.
func fingerprint(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return "", fmt.Errorf("%s holds no certificate", path)
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:]), nil
}

// build joins the rooms to the doors.
func (s *serving) build(log *slog.Logger) (*httpd.Server, error) {
	adminTLS, err := s.ca.Server(s.names())
	if err != nil {
		return nil, err
	}
	agentTLS, err := s.ca.AgentServer(s.names())
	if err != nil {
		return nil, err
	}
	k := s.db.Keys()
	machines := fleet.New(s.db, fleet.Keys{Deployment: k.Deployment, Epoch: k.Epoch, Ring: s.db.Ring},
		fleet.Door{URLs: s.agentURLs, Pin: s.ca.Pin()}, now, rand.Reader)
	about := httpd.About{Deployment: k.Deployment, Version: version, AgentURLs: s.agentURLs, RPID: s.rpID}
	s.metrics = httpd.NewMetrics(
		httpd.Gauge{Name: "latchkey_audit_unsealed", Help: "Lines of the audit trail that wait for their place in the chain.", Read: s.db.Unsealed},
		httpd.Gauge{Name: "latchkey_database_bytes", Help: "Size of the database.", Read: s.db.Size})
	admins := httpd.Admin(s.rooms(machines), s.db, about, now, s.ready)
	doors := []httpd.Door{
		{Name: "admin", Listener: s.admin, TLS: s.tuned.present(adminTLS), Handler: s.metrics.Timed("admin", admins)},
		{Name: "agent", Listener: s.agent, TLS: agentTLS, Handler: s.metrics.Timed("agent", httpd.Agent(s.agents(machines)))},
	}
	if s.numbers != nil {
		doors = append(doors, httpd.Door{Name: "metrics", Listener: s.numbers, Plain: true, Handler: s.metrics})
	}
	return httpd.New(log, doors...), nil
}

func (s *serving) agents(machines *fleet.Fleet) httpd.Agents {
	k := s.db.Keys()
	logons := authn.New(s.db, authn.Keys{Deployment: k.Deployment, Ring: s.db.Ring, State: k.State}, now)
	return httpd.Agents{
		Who:    s.db.MachineByKey,
		Logons: func(m latchkey.MachineID) httpd.Logons { return s.metrics.Counted(logons.ForMachine(m)) },
		Fleet:  machines,
	}
}

func (s *serving) rooms(machines *fleet.Fleet) httpd.Rooms {
	enrolling := enroll.New(s.db, now, rand.Reader)
	return httpd.Rooms{
		People: people.New(s.db, now), Settings: settings.New(s.db, now), Audit: audit.New(s.db),
		Chain: audit.NewChain(s.db, s.notary), Report: report.New(s.db, now),
		Authenticators: enrolling, Enrollments: enrolling, Fleet: machines,
	}
}

// ready returns why the server cannot do its work, or nil. Whoever asks often
// gets the answer of the last second: it costs a write.
func (s *serving) ready(ctx context.Context) error {
	s.probe.Lock()
	defer s.probe.Unlock()
	if age := time.Since(s.probed); s.probed.IsZero() || age >= time.Second {
		s.health = errors.Join(s.db.Writable(context.WithoutCancel(ctx)), s.sealer.Alive())
		s.probed = time.Now()
	}
	return s.health
}

func (s *serving) close() error {
	err := errors.Join(s.admin.Close(), s.agent.Close())
	if s.numbers != nil {
		err = errors.Join(err, s.numbers.Close())
	}
	return err
}
