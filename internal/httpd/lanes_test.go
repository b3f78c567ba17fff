package httpd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
)

func init() { laneWait = 50 * time.Millisecond }

func TestAMachineHasItsShareOfTheBundlesOnly(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	l := newLanes()
	l.now = func() time.Time { return now }
	made := map[latchkey.MachineID]int{}
	ask := l.paced(func(_ context.Context, m latchkey.MachineID, _ api.BundleRequest) (api.BundleResponse, error) {
		made[m]++
		now = now.Add(75 * time.Millisecond) // what the widest takes
		return api.BundleResponse{}, nil
	})
	var err error
	for err == nil && made["m"] < 1000 {
		_, err = ask(t.Context(), "m", api.BundleRequest{})
	}
	p := problemOf(err)
	if p.Status != http.StatusTooManyRequests || p.Code != latchkey.Busy || p.retry <= 0 || made["m"] < 100 {
		t.Errorf("after %d: %v, again in %v", made["m"], err, p.retry)
	}
	if _, err := ask(t.Context(), "n", api.BundleRequest{}); err != nil {
		t.Errorf("another machine: %v", err)
	}
	before := made["m"]
	for range 100 * 60 { // a minute and more; refusals take nothing from it
		_, _ = ask(t.Context(), "m", api.BundleRequest{})
		now = now.Add(10 * time.Millisecond)
	}
	if n := made["m"] - before; n < 60 || n > 120 {
		t.Errorf("%d in a minute", n)
	}
	now = now.Add(time.Hour)
	for range 2 * fewLanes {
		_, _ = ask(t.Context(), latchkey.MachineID(now.String()), api.BundleRequest{})
		now = now.Add(time.Second)
	}
	if len(l.all) > fewLanes+1 {
		t.Errorf("%d machines are remembered", len(l.all))
	}
}

// slow makes a first bundle that does not end until it is told.
type slow struct {
	AgentFleet
	began, end chan bool
	asked      atomic.Int32
}

func (s *slow) Bundle(context.Context, latchkey.MachineID, api.BundleRequest) (api.BundleResponse, error) {
	if s.asked.Add(1) == 1 {
		s.began <- true
		<-s.end
	}
	return api.BundleResponse{}, nil
}

func TestASecondBundleIsTooManyAndSaysWhenToAskAgain(t *testing.T) {
	t.Parallel()
	s := &slow{began: make(chan bool), end: make(chan bool)}
	door := Agent(Agents{Fleet: s, Who: func(context.Context, []byte) (latchkey.MachineID, error) { return "m", nil }})
	ask := func() *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), "POST", api.BundlePath, strings.NewReader(`{"user":"u"}`))
		r.Header.Set("Content-Type", "application/json")
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		return w
	}
	first := make(chan int)
	go func() { first <- ask().Code }()
	<-s.began
	w := ask()
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"busy"`) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	close(s.end)
	if status := <-first; status != http.StatusOK {
		t.Errorf("the first: %d", status)
	}
}

func TestAMachineHasOneBundleUnderWay(t *testing.T) {
	t.Parallel()
	l, began, end := newLanes(), make(chan bool), make(chan bool)
	ask := l.paced(func(_ context.Context, m latchkey.MachineID, _ api.BundleRequest) (api.BundleResponse, error) {
		if m == "m" {
			began <- true
			<-end
		}
		return api.BundleResponse{}, nil
	})
	done := make(chan error)
	go func() {
		_, err := ask(t.Context(), "m", api.BundleRequest{})
		done <- err
	}()
	<-began
	if _, err := ask(t.Context(), "m", api.BundleRequest{}); problemOf(err).Status != http.StatusTooManyRequests {
		t.Errorf("a second one: %v", err)
	}
	if _, err := ask(t.Context(), "n", api.BundleRequest{}); err != nil {
		t.Errorf("another machine waits for it: %v", err)
	}
	close(end)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
