package syncer

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"latchkey/internal/api"
)

func TestWaitsGrowWithFailuresAndAreSpread(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]time.Duration{
		0: 5 * time.Minute, 1: 5 * time.Second, 2: 10 * time.Second, 3: 20 * time.Second, 4: 40 * time.Second,
		5: time.Minute, 6: time.Minute, 1 << 20: time.Minute,
	} {
		if got := wait(failures); got != want {
			t.Errorf("after %d failures %v, want %v", failures, got, want)
		}
	}
	seen := map[time.Duration]bool{}
	for range 100 {
		d := jitter(time.Minute)
		if d < 45*time.Second || d > 75*time.Second {
			t.Fatalf("%v is not within a quarter of a minute", d)
		}
		seen[d] = true
	}
	if len(seen) < 50 {
		t.Errorf("only %d different waits of 100", len(seen))
	}
}

func TestABundleInPartsKeepsAllChunksAndTheNewestHeader(t *testing.T) {
	t.Parallel()
	chunk := func(s string) api.SealedChunk { return api.SealedChunk{SHA256: s} }
	whole := join(
		api.BundleResponse{Version: 1, Header: []byte("old"), Chunks: []api.SealedChunk{chunk("a"), chunk("b")}},
		api.BundleResponse{Version: 2, Header: []byte("new"), Chunks: []api.SealedChunk{chunk("c")}},
	)
	if whole.Version != 2 || string(whole.Header) != "new" || len(whole.Chunks) != 3 {
		t.Errorf("%+v", whole)
	}
}

func TestKicksAreCountedOnce(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	for range 1000 {
		s.Kick() // must not block
	}
	<-s.wake
	select {
	case <-s.wake:
		t.Error("a second sync is asked for")
	default:
	}
}

// away is a server that nobody can reach.
type away struct{ asked int }

var errAway = errors.New("nobody there")

func (a *away) Reach(context.Context) error {
	a.asked++
	return errAway
}

func (*away) Sync(context.Context, api.SyncRequest) (api.SyncResponse, error) {
	return api.SyncResponse{}, errors.New("a report was sent")
}

func (*away) Bundle(context.Context, api.BundleRequest) (api.BundleResponse, error) {
	return api.BundleResponse{}, errors.New("a bundle was asked for")
}

// A machine that is away for weeks tries once a minute. There is no vault here:
// whoever gathers a report before he knows that somebody listens falls over.
func TestNothingIsGatheredForAServerThatIsGone(t *testing.T) {
	t.Parallel()
	server := &away{}
	s := New(Config{Server: server, Log: slog.New(slog.DiscardHandler)})
	s.state.Problem = "the last sync failed"
	for range 2 {
		if err := s.Sync(t.Context()); !errors.Is(err, errAway) {
			t.Fatalf("error %v", err)
		}
	}
	if server.asked != 2 || s.State().Problem != errAway.Error() {
		t.Errorf("asked %d times; %q", server.asked, s.State().Problem)
	}
}
