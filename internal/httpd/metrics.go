package httpd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/seal"
)

// buckets are the upper bounds of request durations, in seconds.
var buckets = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}

// A Gauge is a number that is looked up when somebody asks.
type Gauge struct {
	Name, Help string
	Read       func(context.Context) (int64, error)
}

// Metrics are a few numbers about the server, in the text format of Prometheus.
// No label holds a user or a machine: there would be no end of them, and the
// page needs no token.
type Metrics struct {
	gauges []Gauge

	mu     sync.Mutex
	logons map[string]uint64 // by labels
	times  map[string]*durations
}

type durations struct {
	counts []uint64 // by bucket; the last one is for all that took longer
	sum    float64
}

// NewMetrics returns metrics with nothing counted.
func NewMetrics(gauges ...Gauge) *Metrics {
	return &Metrics{gauges: gauges, logons: map[string]uint64{}, times: map[string]*durations{}}
}

// Timed measures the requests of a listener.
func (m *Metrics) Timed(listener string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, out := time.Now(), &watched{ResponseWriter: w}
		defer func() {
			class := strconv.Itoa(max(out.status, http.StatusOK)/100) + "xx"
			m.took(fmt.Sprintf("listener=%q,status=%q", listener, class), time.Since(began).Seconds())
		}()
		next.ServeHTTP(out, r)
	})
}

func (m *Metrics) took(labels string, seconds float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.times[labels]
	if d == nil {
		d = &durations{counts: make([]uint64, len(buckets)+1)}
		m.times[labels] = d
	}
	i, _ := slices.BinarySearch(buckets, seconds)
	d.counts[i]++
	d.sum += seconds
}

// Counted counts the verdicts of an authority.
func (m *Metrics) Counted(l Logons) Logons { return counted{m, l} }

type counted struct {
	m *Metrics
	Logons
}

// BeginSigned implements Logons.
func (c counted) BeginSigned(ctx context.Context, nonce string, l latchkey.Logon) (api.Turn, error) {
	t, err := c.Logons.BeginSigned(ctx, nonce, l)
	c.m.verdict(t)
	return t, err
}

// AnswerSigned implements Logons.
func (c counted) AnswerSigned(ctx context.Context, nonce string, l latchkey.Logon, a latchkey.Answer) (api.Turn, error) {
	t, err := c.Logons.AnswerSigned(ctx, nonce, l, a)
	c.m.verdict(t)
	return t, err
}

// verdict reads what was just signed here: nobody else's word is counted.
func (m *Metrics) verdict(t api.Turn) {
	if len(t.Verdict) == 0 {
		return
	}
	var e seal.Envelope
	var v api.Verdict
	if json.Unmarshal(t.Verdict, &e) != nil || json.Unmarshal(e.Payload, &v) != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.logons[fmt.Sprintf("outcome=%q,reason=%q", v.Outcome, v.Reason)]++
}

// ServeHTTP writes the page.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.URL.Path != "/metrics" {
		writeProblem(w, plain(http.StatusNotFound, "no such address"))
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	m.counts(w)
	for _, g := range m.gauges {
		n, err := g.Read(r.Context())
		if err != nil {
			note(r.Context(), "error", err.Error())
			continue // a number that is missing is noticed; a wrong one is not
		}
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s gauge\n%s %d\n", g.Name, g.Help, g.Name, g.Name, n)
	}
}

func (m *Metrics) counts(w io.Writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const logons, times = "latchkey_logons_total", "latchkey_request_duration_seconds"
	fmt.Fprintf(w, "# HELP %s Verdicts that this server gave since its start; an answer that is asked for again counts again.\n# TYPE %s counter\n", logons, logons)
	for _, l := range slices.Sorted(maps.Keys(m.logons)) {
		fmt.Fprintf(w, "%s{%s} %d\n", logons, l, m.logons[l])
	}
	fmt.Fprintf(w, "# HELP %s How long requests took.\n# TYPE %s histogram\n", times, times)
	for _, l := range slices.Sorted(maps.Keys(m.times)) {
		d, all := m.times[l], uint64(0)
		for i, b := range buckets {
			all += d.counts[i]
			fmt.Fprintf(w, "%s_bucket{%s,le=\"%g\"} %d\n", times, l, b, all)
		}
		all += d.counts[len(buckets)]
		fmt.Fprintf(w, "%s_bucket{%s,le=\"+Inf\"} %d\n%s_sum{%s} %g\n%s_count{%s} %d\n", times, l, all, times, l, d.sum, times, l, all)
	}
}
