package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"syscall"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/store"
)

func (c *checked) note(text string) { c.Notes = append(c.Notes, text) }

// listeners takes each address for a moment, as serve does for good.
func (c *checked) listeners(f serveFlags) {
	for flag, address := range map[string]string{"--listen": f.listen, "--agent-listen": f.agentListen, "--metrics-listen": f.metricsListen} {
		if address == "" {
			continue
		}
		l, err := net.Listen("tcp", address)
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			c.note(flag + " " + address + " is in use: by this server, if it runs")
		case err != nil:
			c.problem("%s: %v", flag, err)
		default:
			_ = l.Close() // it was only tried
		}
	}
	if f.metricsListen != "" && !loopback(f.metricsListen) {
		c.note("--metrics-listen " + f.metricsListen + " tells numbers to everybody who reaches it: plain HTTP, no token")
	}
	if len(f.agentURLs) == 0 && loopback(f.agentListen) {
		c.note("no machine but this one reaches --agent-listen " + f.agentListen + ": give --agent-listen and --agent-url")
	}
	if len(f.agentURLs) > 0 && loopback(f.agentListen) {
		c.note("--agent-url is told to machines, and --agent-listen " + f.agentListen + " is reached from here only: does something forward it?")
	}
	for _, u := range append([]string{f.publicURL}, f.agentURLs...) {
		c.resolves(hostOf(u))
	}
}

// loopback reports whether only this machine reaches an address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// resolveTime is how long a name may take.
const resolveTime = 3 * time.Second

func (c *checked) resolves(host string) {
	if host == "" || net.ParseIP(host) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveTime)
	defer cancel()
	if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
		c.note("the name " + host + " is not known here: machines and administrators must know it")
	}
}

// expiresSoon is how long before its end a certificate is worth a word.
const expiresSoon = 30 * 24 * time.Hour

// certificate checks the one for administrators that the settings name.
func (c *checked) certificate(pair *tls.Certificate, publicURL string) {
	if pair == nil {
		return
	}
	leaf := pair.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			c.problem("tls_certificate: %v", err)
			return
		}
	}
	at := now()
	switch {
	case at.After(leaf.NotAfter):
		c.problem("tls_certificate ended at %s", when(leaf.NotAfter))
	case at.Before(leaf.NotBefore):
		c.problem("tls_certificate begins at %s: is the clock right?", when(leaf.NotBefore))
	case leaf.NotAfter.Sub(at) < expiresSoon:
		c.note("tls_certificate ends at " + when(leaf.NotAfter))
	}
	if host := hostOf(publicURL); host != "" && leaf.VerifyHostname(host) != nil {
		c.problem("tls_certificate is not for %s, the host of --public-url", host)
	}
}

// earliest is before any time at which this program runs.
var earliest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// clockSlack is how far back a clock may be set without a word.
const clockSlack = 5 * time.Minute

// clock refuses a clock that is behind what is recorded: codes that were used
// would be fresh again for it, and certificates not valid yet.
func (c *checked) clock(ctx context.Context, db *store.DB) {
	at := now()
	if at.Before(earliest) {
		c.problem("the clock says %s", when(at))
		return
	}
	last, err := db.Events(ctx, audit.Query{Limit: 1})
	if err != nil {
		c.problem("%v", err)
		return
	}
	if len(last) > 0 && at.Add(clockSlack).Before(last[0].Time) {
		c.problem("the clock says %s, and something is recorded at %s", when(at), when(last[0].Time))
	}
}
