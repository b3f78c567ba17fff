package httpd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"latchkey"
	"latchkey/internal/api"
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
	logons map[[2]string]uint64 // by outcome and reason
	times  map[class]*durations
}

// A class is the requests of a listener whose answers begin with a digit.
type class struct {
	listener string
	status   int
}

func (c class) compare(to class) int {
	return cmp.Or(cmp.Compare(c.listener, to.listener), cmp.Compare(c.status, to.status))
}

type durations struct {
	counts []uint64 // by bucket; the last one is for all that took longer
	sum    float64
}

// NewMetrics returns metrics with nothing counted.
func NewMetrics(gauges ...Gauge) *Metrics {
	return &Metrics{gauges: gauges, logons: map[[2]string]uint64{}, times: map[class]*durations{}}
}

// Timed measures the requests of a listener.
func (m *Metrics) Timed(listener string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		w, out := watching(w)
		defer func() {
			m.took(class{listener, max(out.status, http.StatusOK) / 100}, time.Since(began).Seconds())
		}()
		next.ServeHTTP(w, r)
	})
}

func (m *Metrics) took(of class, seconds float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.times[of]
	if d == nil {
		d = &durations{counts: make([]uint64, len(buckets)+1)}
		m.times[of] = d
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

// verdict counts what was just signed here: nobody else's word is counted.
func (m *Metrics) verdict(t api.Turn) {
	if len(t.Verdict) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.logons[[2]string{string(t.Outcome), string(t.Reason)}]++
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
	for _, l := range slices.SortedFunc(maps.Keys(m.logons), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		fmt.Fprintf(w, "%s{outcome=%q,reason=%q} %d\n", logons, l[0], l[1], m.logons[l])
	}
	fmt.Fprintf(w, "# HELP %s How long requests took.\n# TYPE %s histogram\n", times, times)
	for _, c := range slices.SortedFunc(maps.Keys(m.times), class.compare) {
		d, all, l := m.times[c], uint64(0), fmt.Sprintf(`listener=%q,status="%dxx"`, c.listener, c.status)
		for i, b := range buckets {
			all += d.counts[i]
			fmt.Fprintf(w, "%s_bucket{%s,le=\"%g\"} %d\n", times, l, b, all)
		}
		all += d.counts[len(buckets)]
		fmt.Fprintf(w, "%s_bucket{%s,le=\"+Inf\"} %d\n%s_sum{%s} %g\n%s_count{%s} %d\n", times, l, all, times, l, d.sum, times, l, all)
	}
}
