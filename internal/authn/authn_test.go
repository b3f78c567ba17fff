package authn_test

import (
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/audit"
	"latchkey/internal/authn"
	"latchkey/internal/fleet"
	"latchkey/internal/logon"
	"latchkey/internal/otp"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
	"latchkey/internal/store"
	"latchkey/internal/store/storetest"
)

// key20 is the test key of RFC 4226 and RFC 6238 for SHA-1.
var key20 = secret.Bytes("12345678901234567890")

// A world is a server's core on a real database, with a clock that tests set.
type world struct {
	t       testing.TB
	ctx     context.Context
	db      *store.DB
	authn   *authn.Authn
	machine latchkey.MachineID
	mu      sync.Mutex
	at      time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, ctx: context.Background(), at: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	db, err := store.Open(w.ctx, store.Config{Dir: filepath.Join(t.TempDir(), "data"), Database: storetest.Database(t), Now: w.now})
	w.must(err)
	t.Cleanup(func() { w.must(db.Close()) })
	w.db = db
	k := db.Keys()
	w.authn = authn.New(db, authn.Keys{Deployment: k.Deployment, Signer: k.Signer, State: k.State}, w.now)
	w.machine = w.join("pc-17")
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) set(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = at
}

func (w *world) pass(d time.Duration) { w.set(w.now().Add(d)) }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) join(name string) latchkey.MachineID {
	w.t.Helper()
	sealing, err := ecdh.P256().GenerateKey(rand.Reader)
	w.must(err)
	hash := []byte("token of " + name)
	w.must(w.db.CreateMachineToken(w.ctx, fleet.Ticket{Hash: hash, Uses: 1, ExpiresAt: w.now().Add(time.Hour)}, latchkey.Event{Kind: latchkey.MachineTokenCreated}))
	m, err := w.db.Join(w.ctx, hash, latchkey.Machine{
		Name: name, Settings: latchkey.DefaultSettings(), KeyClass: latchkey.Software,
		IdentityHash: []byte("identity of " + name), SealingKey: sealing.PublicKey().Bytes(), CreatedAt: w.now(),
	}, latchkey.Event{Kind: latchkey.MachineEnrolled})
	w.must(err)
	return m.ID
}

func (w *world) user(name string) latchkey.UserID {
	w.t.Helper()
	u, err := w.db.AddUser(w.ctx, latchkey.User{Name: name, Directory: latchkey.Builtin}, latchkey.Event{Kind: latchkey.UserAdded})
	w.must(err)
	return u.ID
}

func (w *world) totp(u latchkey.UserID) latchkey.AuthenticatorID {
	return w.add(latchkey.Authenticator{User: u, Kind: latchkey.TOTP, Algorithm: "SHA1", Digits: 6, Period: 30}, key20)
}

func (w *world) hotp(u latchkey.UserID) latchkey.AuthenticatorID {
	return w.add(latchkey.Authenticator{User: u, Kind: latchkey.HOTP, Algorithm: "SHA1", Digits: 6}, key20)
}

func (w *world) add(a latchkey.Authenticator, key secret.Bytes) latchkey.AuthenticatorID {
	w.t.Helper()
	a.CreatedAt = w.now()
	id, err := w.db.AddAuthenticator(w.ctx, a, key, 0, latchkey.Event{Kind: latchkey.AuthenticatorAdded})
	w.must(err)
	return id
}

// code is the code of key20 a number of steps from now.
func (w *world) code(steps int) string {
	n, err := otp.Code(key20, otp.Step(w.now(), 30)+uint64(steps), otp.SHA1, 6)
	w.must(err)
	return otp.Format(n, 6)
}

// wrong is a code of no step near now.
func (w *world) wrong() string {
	for n := range 1000 {
		c := otp.Format(uint32(n), 6)
		if !slices.Contains([]string{w.code(-2), w.code(-1), w.code(0), w.code(1), w.code(2)}, c) {
			return c
		}
	}
	panic("no wrong code")
}

func (w *world) logon(user string) latchkey.Logon {
	id, err := logon.NewID(rand.Reader)
	w.must(err)
	return latchkey.Logon{ID: id, Scenario: latchkey.Console, Service: "login", User: user}
}

// typed logs in with these answers and returns a transcript's last line.
func (w *world) typed(l latchkey.Logon, answers ...string) string {
	w.t.Helper()
	a := w.authn.ForMachine(w.machine)
	turn, err := a.Begin(w.ctx, l)
	for _, typed := range answers {
		if err != nil || turn.Prompt == nil {
			break
		}
		turn, err = a.Answer(w.ctx, l, latchkey.Answer{Prompt: turn.Prompt.ID, State: turn.Prompt.State, Value: secret.Bytes(typed)})
	}
	return show(turn, err)
}

func (w *world) login(user string, answers ...string) string {
	w.t.Helper()
	return w.typed(w.logon(user), answers...)
}

func show(t logon.Turn, err error) string {
	switch {
	case err != nil:
		return "error " + err.Error()
	case t.Prompt != nil:
		s := strings.TrimSpace("ask " + string(t.Prompt.Kind) + " " + string(t.Prompt.Factor))
		for _, c := range t.Prompt.Choices {
			s += " " + c.ID
		}
		return s
	}
	return string(t.Verdict.Outcome) + " " + string(t.Verdict.Reason)
}

func (w *world) expect(got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("got %q, want %q", got, want)
	}
}

func TestALoginWithACode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.totp(w.user("ana"))
	w.expect(w.login("ana"), "ask secret totp")
	w.expect(w.login("ana", w.wrong()), "deny wrong_code")
	w.expect(w.login("Ana", w.code(0)), "allow verified_online")
	w.expect(w.login("ana", w.code(0)), "deny code_already_used")
	w.expect(w.login("ana", w.code(-1)), "deny code_already_used") // B02
	w.expect(w.login("ana", w.code(1)), "allow verified_online")   // D01
	w.pass(time.Minute)
	w.expect(w.login("ana", w.code(2)), "deny wrong_code")
	w.expect(w.login("ana", w.code(0)[:3]+" "+w.code(0)[3:]), "allow verified_online") // A13
}

func TestWhoIsLetInWithoutACodeAndWhoIsNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.expect(w.login("nobody"), "deny unknown_identity")
	ana := w.user("ana")
	w.expect(w.login("ana"), "deny not_enrolled")
	w.totp(ana)
	settings := latchkey.DefaultSettings()
	change := func(edit func(*latchkey.MachineSettings)) {
		s := settings
		edit(&s)
		w.must(w.db.ChangeMachine(w.ctx, w.machine, s, latchkey.Event{Kind: latchkey.MachineChanged}))
	}
	change(func(s *latchkey.MachineSettings) { s.UnknownUsers = latchkey.Skip })
	w.expect(w.login("nobody"), "not-required not_covered")
	change(func(s *latchkey.MachineSettings) { s.Mode = latchkey.Exempt })
	w.expect(w.login("ana"), "not-required machine_exempt")
	change(func(s *latchkey.MachineSettings) { s.Mode, s.UnknownUsers = latchkey.Enforce, latchkey.Skip })
	w.expect(w.login("nobody"), "deny unknown_identity")
	change(func(s *latchkey.MachineSettings) { s.MatchLocal = false })
	local := w.logon("ana")
	local.Local = true
	w.expect(w.typed(local), "deny unknown_identity")
	change(func(*latchkey.MachineSettings) {})
	w.must(w.db.SetDisabled(w.ctx, ana, true, latchkey.Event{Kind: latchkey.UserDisabled}))
	w.expect(w.login("ana"), "deny account_disabled")
	w.must(w.db.SetDisabled(w.ctx, ana, false, latchkey.Event{Kind: latchkey.UserEnabled}))
	w.must(w.db.DeleteUser(w.ctx, ana, latchkey.Event{Kind: latchkey.UserDeleted}))
	w.expect(w.login("ana"), "deny account_disabled")
	w.must(w.db.RemoveMachine(w.ctx, w.machine, latchkey.Event{Kind: latchkey.MachineRemovedEvent}))
	w.expect(w.login("ana"), "deny machine_removed")
	w.expect(w.typed(w.logon("nobody")), "deny machine_removed")
}

func TestA01CountersOfAHardwareTokenAreTakenInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hotp(w.user("ana"))
	vectors := strings.Fields("755224 287082 359152 969429 338314 254676 287922 162583 399871 520489")
	for _, code := range vectors {
		w.expect(w.login("ana", code), "allow verified_online")
	}
	for _, code := range vectors[5:8] { // B10
		w.expect(w.login("ana", code), "deny code_already_used")
	}
}

func TestA02ToA04CodesOfEveryAlgorithm(t *testing.T) {
	t.Parallel()
	times := []int64{59, 1111111109, 1111111111, 1234567890, 2000000000, 20000000000}
	for alg, codes := range map[string]string{
		"SHA1":   "94287082 07081804 14050471 89005924 69279037 65353130",
		"SHA256": "46119246 68084774 67062674 91819424 90698825 77737706",
		"SHA512": "90693936 25091201 99943326 93441116 38618901 47863826",
	} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			size := map[string]int{"SHA1": 20, "SHA256": 32, "SHA512": 64}[alg]
			key := secret.Bytes(strings.Repeat("1234567890", 7)[:size])
			w.set(time.Unix(0, 0))
			w.add(latchkey.Authenticator{User: w.user("ana"), Kind: latchkey.TOTP, Algorithm: alg, Digits: 8, Period: 30}, key)
			for i, code := range strings.Fields(codes) {
				w.set(time.Unix(times[i], 0))
				w.expect(w.login("ana", code), "allow verified_online")
			}
		})
	}
}

func TestB50LoginsWithOneCodeAreOneLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.totp(w.user("ana"))
	code := w.code(0)
	got := make(chan string, 50)
	for range 50 {
		go func() { got <- w.login("ana", code) }()
	}
	count := map[string]int{}
	for range 50 {
		count[<-got]++
	}
	if count["allow verified_online"] != 1 || count["deny code_already_used"] != 49 {
		t.Errorf("got %v", count)
	}
}

func TestB50WrongAnswersAtOnceAreAllCharged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.totp(w.user("ana"))
	code := w.wrong()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { w.login("ana", code) })
	}
	wg.Wait()
	w.expect(w.login("ana", w.code(0)), "deny throttled")
	if n := w.count("wrong_code"); n != 5 { // the fifth earns the first delay
		t.Errorf("%d guesses were taken", n)
	}
}

func (w *world) count(reason latchkey.Reason) int {
	w.t.Helper()
	events, err := w.db.Events(w.ctx, audit.Query{Limit: 1_000_000, Kind: string(latchkey.LogonEvent)})
	w.must(err)
	n := 0
	for _, e := range events {
		if e.Reason == reason {
			n++
		}
	}
	return n
}

func TestC05DelaysGrowAndARightCodeWithinOneIsRefusedFree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.totp(w.user("ana"))
	for range 5 {
		w.expect(w.login("ana", w.wrong()), "deny wrong_code")
	}
	w.pass(29 * time.Second)
	w.expect(w.login("ana", w.code(0)), "deny throttled")
	w.expect(w.login("ana", w.wrong()), "deny throttled")
	w.pass(time.Second)
	w.expect(w.login("ana", w.wrong()), "deny wrong_code")
	w.pass(59 * time.Second)
	w.expect(w.login("ana", w.code(0)), "deny throttled")
	w.pass(time.Second)
	w.expect(w.login("ana", w.code(0)), "allow verified_online")
	w.expect(w.login("ana", w.wrong()), "deny wrong_code") // counted anew
}

func TestC11TenWrongCodesOfAnyKindsLockForAnHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana")
	w.totp(ana)
	w.hotp(ana)
	for i := range 9 {
		kind := []string{"totp", "hotp"}[i%2]
		w.expect(w.login("ana", kind, "000000"), "deny wrong_code")
	}
	w.pass(30 * time.Second)
	w.expect(w.login("ana", "hotp", "000000"), "deny wrong_code")
	w.expect(w.login("ana"), "locked locked")
	w.pass(time.Hour - time.Second)
	w.expect(w.login("ana"), "locked locked")
	w.pass(time.Second)
	w.expect(w.login("ana", "totp", "000000"), "deny wrong_code") // one more try
	w.expect(w.login("ana"), "locked locked")
	w.pass(time.Hour)
	w.expect(w.login("ana", "totp", w.code(0)), "allow verified_online")
	w.expect(w.login("ana"), "ask choice totp hotp")
}

func TestC08WrongAnswersBetweenRightOnesAreNotFree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.totp(w.user("ana"))
	began, guesses := w.now(), 0
	for range 20 {
		for range 4 { // never enough in a row for a delay
			if w.login("ana", w.wrong()) == "deny wrong_code" {
				guesses++
			}
		}
		w.pass(30 * time.Second)
		w.login("ana", w.code(0))
	}
	if guesses > 60 {
		t.Errorf("%d guesses in %s", guesses, w.now().Sub(began))
	}
}

func TestAnAnswerIsTakenOnceHoweverOftenItIsSent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		value func(*world) string
		want  string
	}{
		"a right one": {func(w *world) string { return w.code(0) }, "allow verified_online"},
		"a wrong one": {func(w *world) string { return w.wrong() }, "deny wrong_code"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.totp(w.user("ana"))
			a, l := w.authn.ForMachine(w.machine), w.logon("ana")
			turn, err := a.Begin(w.ctx, l)
			w.must(err)
			ans := latchkey.Answer{State: turn.Prompt.State, Value: secret.Bytes(tc.value(w))}
			events := make(chan string, 20)
			for range 20 {
				go func() {
					turn, err := a.Answer(w.ctx, l, ans)
					if got := show(turn, err); got != tc.want {
						t.Errorf("got %q", got)
					}
					events <- turn.Verdict.Event
				}()
			}
			first := <-events
			for range 19 {
				if e := <-events; e != first || e == "" {
					t.Errorf("events %q and %q", first, e)
				}
			}
			w.pass(authn.StateLife + time.Second) // the reply got lost for long
			w.expect(show(a.Answer(w.ctx, l, ans)), tc.want)
			if n := w.count("verified_online") + w.count("wrong_code"); n != 1 {
				t.Errorf("%d events", n)
			}
		})
	}
}

func TestAPromptIsWorthNothingElsewhereOrLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.totp(w.user("ana"))
	w.totp(w.user("bob"))
	other := w.join("pc-18")
	a, l := w.authn.ForMachine(w.machine), w.logon("ana")
	turn, err := a.Begin(w.ctx, l)
	w.must(err)
	ans := latchkey.Answer{State: turn.Prompt.State, Value: secret.Bytes(w.code(0))}
	uid := uint32(1000)
	for name, edit := range map[string]func(*latchkey.Logon){
		"another logon":    func(l *latchkey.Logon) { l.ID = w.logon("ana").ID },
		"another user":     func(l *latchkey.Logon) { l.User = "bob" },
		"another uid":      func(l *latchkey.Logon) { l.UID = &uid },
		"another scenario": func(l *latchkey.Logon) { l.Scenario = latchkey.RemoteLogon },
		"a local name":     func(l *latchkey.Logon) { l.Local = true },
		"an account check": func(l *latchkey.Logon) { l.Account = true },
	} {
		changed := l
		edit(&changed)
		if _, err := a.Answer(w.ctx, changed, ans); latchkey.CodeOf(err) != latchkey.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.authn.ForMachine(other).Answer(w.ctx, l, ans); latchkey.CodeOf(err) != latchkey.Invalid {
		t.Errorf("another machine: %v", err)
	}
	for i := range ans.State {
		bad := slices.Clone(ans.State)
		bad[i] ^= 1
		if _, err := a.Answer(w.ctx, l, latchkey.Answer{State: bad, Value: ans.Value}); latchkey.CodeOf(err) != latchkey.Invalid {
			t.Fatalf("byte %d altered: %v", i, err)
		}
	}
	w.pass(authn.StateLife)
	w.expect(show(a.Answer(w.ctx, l, latchkey.Answer{State: ans.State, Value: secret.Bytes(w.code(0))})), "deny cancelled")
}

func TestWordsAtAPromptAreNoGuesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana")
	w.totp(ana)
	w.hotp(ana)
	w.expect(w.login("ana"), "ask choice totp hotp")
	w.expect(w.login("ana", "what"), "ask choice totp hotp")
	w.expect(w.login("ana", "2"), "ask secret hotp")
	w.expect(w.login("ana", "totp"), "ask secret totp")
	w.expect(w.login("ana", "totp", "?"), "ask secret totp")
	w.expect(w.login("ana", "totp", " "), "ask secret totp")
	w.expect(w.login("ana", "totp", "HOTP", "755224"), "allow verified_online")
	w.expect(w.login("ana", "totp", "?", "", "hotp", "totp", w.code(0)), "allow verified_online")
	if n := w.count("wrong_code"); n != 0 {
		t.Errorf("%d were charged", n)
	}
}

func TestTwoFactorsAreTwoKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana")
	w.totp(ana)
	w.policy(func(p *latchkey.Policy) { p.Factors.Required = 2 })
	w.expect(w.login("ana"), "deny not_enrolled")
	w.hotp(ana)
	w.expect(w.login("ana", "totp", w.code(0)), "ask secret hotp")
	w.expect(w.login("ana", "totp", w.code(0)), "deny code_already_used") // the first step consumed it
	w.expect(w.login("ana", "totp", w.code(1), "755224"), "allow verified_online")
	w.expect(w.login("ana", "hotp", "287082", w.wrong()), "deny wrong_code")
}

func (w *world) policy(edit func(*latchkey.Policy)) {
	w.t.Helper()
	w.must(w.db.EditPolicies(w.ctx, latchkey.Event{Kind: latchkey.PolicySet}, func([]latchkey.Policy) ([]latchkey.Policy, error) {
		p := latchkey.BuiltinPolicy()
		edit(&p)
		return []latchkey.Policy{p}, nil
	}))
}

func TestANameIsPinnedToTheUidOfTheFirstSuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana, bob := w.user("ana"), w.user("bob")
	w.totp(ana)
	w.totp(bob)
	as := func(name string, uid uint32, answers ...string) string {
		l := w.logon(name)
		l.UID = &uid
		return w.typed(l, answers...)
	}
	w.expect(as("ana", 1000), "ask secret totp")
	w.expect(as("ana", 1001), "ask secret totp") // no success yet: nothing is pinned
	w.expect(as("ana", 1000, w.code(0)), "allow verified_online")
	w.expect(as("ana", 1001), "deny unknown_identity")
	w.expect(as("bob", 1000), "deny unknown_identity")
	w.expect(as("anna", 1000, w.code(1)), "allow verified_online") // renamed there
	w.expect(as("nobody", 1002), "deny unknown_identity")
	w.expect(w.login("ana"), "ask secret totp") // root without a uid: the name counts
	w.must(w.db.DeleteUser(w.ctx, ana, latchkey.Event{Kind: latchkey.UserDeleted}))
	w.expect(as("ana", 1000), "deny account_disabled")
	w.expect(as("zoe", 1000), "deny account_disabled")
	w.totp(w.user("ana")) // the next of the name inherits the uid
	w.pass(time.Minute)
	w.expect(as("ana", 1000, w.code(0)), "allow verified_online")
	w.expect(as("bob", 1000), "deny unknown_identity")
}

func TestAnAccountCheckAsksNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana")
	w.totp(ana)
	l := w.logon("ana")
	l.Account = true
	w.expect(w.typed(l), "not-required scenario_off")
	unknown := w.logon("root")
	unknown.Account = true
	w.expect(w.typed(unknown), "not-required scenario_off")
	w.must(w.db.SetDisabled(w.ctx, ana, true, latchkey.Event{Kind: latchkey.UserDisabled}))
	w.expect(w.typed(l), "deny account_disabled")
}

func TestAVerdictIsSignedForThisLogonAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana")
	id := w.totp(ana)
	a, l := w.authn.ForMachine(w.machine), w.logon("ana")
	turn, err := a.BeginSigned(w.ctx, "nonce1", l)
	w.must(err)
	ans := latchkey.Answer{State: turn.Prompt.State, Value: secret.Bytes(w.code(0))}
	first := w.signed(a.AnswerSigned(w.ctx, "nonce2", l, ans))
	k := w.db.Keys()
	want := api.Verdict{
		Deployment: k.Deployment, Machine: w.machine, Logon: l.ID, Nonce: "nonce2", At: w.now().UnixMilli(), User: ana,
		Version: first.Version, Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline, Text: first.Text, Event: first.Event,
		Anchor: w.now().UnixMilli(), Floors: []latchkey.Floor{{Credential: id, Next: otp.Step(w.now(), 30) + 1}},
	}
	if a, b := asJSON(first), asJSON(want); a != b {
		t.Errorf("got  %s\nwant %s", a, b)
	}
	w.pass(10 * time.Second)
	again := w.signed(a.AnswerSigned(w.ctx, "nonce3", l, ans))
	want.Nonce, want.At = "nonce3", w.now().UnixMilli()
	if a, b := asJSON(again), asJSON(want); a != b {
		t.Errorf("again: got  %s\nwant %s", a, b)
	}
}

func (w *world) signed(t api.Turn, err error) api.Verdict {
	w.t.Helper()
	w.must(err)
	keys, err := seal.NewKeySet(w.db.Keys().Signer.Public().(ed25519.PublicKey))
	w.must(err)
	doc, _, err := seal.Verify(t.Verdict, api.VerdictType, keys)
	w.must(err)
	var v api.Verdict
	w.must(seal.DecodeStrict(doc, &v))
	return v
}

func asJSON(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestOnlyCausesThatStayAreSticky(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana")
	w.totp(ana)
	last := uint64(0)
	end := func(answers ...string) api.Verdict {
		a, l := w.authn.ForMachine(w.machine), w.logon("ana")
		turn, err := a.BeginSigned(w.ctx, "n", l)
		for _, typed := range answers {
			w.must(err)
			turn, err = a.AnswerSigned(w.ctx, "n", l, latchkey.Answer{State: turn.Prompt.State, Value: secret.Bytes(typed)})
		}
		v := w.signed(turn, err)
		if v.Version <= last {
			t.Errorf("version %d after %d", v.Version, last)
		}
		last = v.Version
		return v
	}
	if v := end(w.code(0)); v.Sticky || v.Anchor == 0 {
		t.Errorf("success: %+v", v)
	}
	if v := end(w.wrong()); v.Sticky || v.Anchor != 0 {
		t.Errorf("wrong code: %+v", v)
	}
	if v := end(w.code(0)); v.Sticky {
		t.Errorf("replay: %+v", v)
	}
	for range 4 {
		end(w.wrong())
	}
	if v := end(w.code(1)); v.Sticky || v.Reason != latchkey.Throttled || v.Until != 0 {
		t.Errorf("throttled: %+v", v)
	}
	for range 4 {
		w.pass(time.Hour)
		end(w.wrong())
	}
	w.pass(time.Hour)
	end(w.wrong())
	if v := end(); !v.Sticky || v.Reason != latchkey.LockedOut || v.Until != w.now().Add(time.Hour).UnixMilli() {
		t.Errorf("locked: %+v", v)
	}
	w.must(w.db.SetDisabled(w.ctx, ana, true, latchkey.Event{Kind: latchkey.UserDisabled}))
	if v := end(); !v.Sticky || v.Reason != latchkey.AccountDisabled {
		t.Errorf("disabled: %+v", v)
	}
	w.must(w.db.RemoveMachine(w.ctx, w.machine, latchkey.Event{Kind: latchkey.MachineRemovedEvent}))
	if v := end(); !v.Sticky || v.Reason != latchkey.MachineRemoved {
		t.Errorf("removed: %+v", v)
	}
}

func TestRunLogsInThroughTheLoop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.totp(w.user("ana"))
	v, err := logon.Run(w.ctx, screen(func(latchkey.Prompt) (string, error) { return w.code(0), nil }), w.logon("ana"), w.authn.ForMachine(w.machine))
	w.must(err)
	w.expect(string(v.Outcome), "allow")
	v, err = logon.Run(w.ctx, screen(func(latchkey.Prompt) (string, error) { return "", logon.ErrCancelled }), w.logon("ana"), w.authn.ForMachine(w.machine))
	w.must(err)
	w.expect(string(v.Reason), "cancelled")
}

type screen func(latchkey.Prompt) (string, error)

func (s screen) Ask(_ context.Context, p latchkey.Prompt) (latchkey.Answer, error) {
	v, err := s(p)
	return latchkey.Answer{Value: secret.Bytes(v)}, err
}

func TestAMachineThatWaitsDecidesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.totp(w.user("ana"))
	hash := []byte("second")
	w.must(w.db.CreateMachineToken(w.ctx, fleet.Ticket{Hash: hash, Uses: 1, ExpiresAt: w.now().Add(time.Hour)}, latchkey.Event{Kind: latchkey.MachineTokenCreated}))
	m, err := w.db.Join(w.ctx, hash, latchkey.Machine{
		Name: "PC-17", Settings: latchkey.DefaultSettings(), KeyClass: latchkey.Software,
		IdentityHash: []byte("new"), SealingKey: []byte("new"), CreatedAt: w.now(),
	}, latchkey.Event{Kind: latchkey.MachineEnrolled})
	w.must(err)
	if m.State != latchkey.Pending {
		t.Fatalf("state %s", m.State)
	}
	_, err = w.authn.ForMachine(m.ID).Begin(w.ctx, w.logon("ana"))
	if latchkey.CodeOf(err) != latchkey.Forbidden {
		t.Errorf("got %v", err)
	}
	_, err = w.authn.ForMachine("mch_none").Begin(w.ctx, w.logon("ana"))
	if latchkey.CodeOf(errors.Unwrap(err)) != latchkey.NotFound {
		t.Errorf("got %v", err)
	}
}

func FuzzPromptState(f *testing.F) {
	w := newWorld(f)
	w.totp(w.user("ana"))
	a, l := w.authn.ForMachine(w.machine), w.logon("ana")
	turn, err := a.Begin(w.ctx, l)
	w.must(err)
	good := string(turn.Prompt.State)
	f.Add(turn.Prompt.State)
	f.Add([]byte(`{"machine":"x"}`))
	f.Fuzz(func(t *testing.T, state []byte) {
		turn, err := a.Answer(w.ctx, l, latchkey.Answer{State: state, Value: secret.Bytes("?")})
		if err == nil && string(state) != good {
			t.Errorf("taken: %s", show(turn, err))
		}
	})
}
