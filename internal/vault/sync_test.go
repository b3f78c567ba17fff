package vault_test

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/bundle"
	"latchkey/internal/seal"
	"latchkey/internal/vault"
)

// merge runs one sync with the server's answer.
func (w *world) merge(change func(*api.SyncResponse)) []api.News {
	w.t.Helper()
	req, err := w.v.Pending(100)
	must(w.t, err)
	q := w.inquire()
	resp := api.SyncResponse{Health: w.health(q.Nonce, w.wall)}
	if n := len(req.Events); n > 0 {
		resp.Acked = req.Events[n-1].Seq
	}
	change(&resp)
	news, err := w.v.Merge(q, req, resp)
	must(w.t, err)
	return news
}

func (w *world) newSettings(change func(*api.Settings)) {
	w.t.Helper()
	w.merge(func(r *api.SyncResponse) { r.Settings = w.settings(change) })
}

func TestI08ALastingDenialOutlivesTheCable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*world, *api.Verdict)
		want   string
	}{
		"disabled":        {func(w *world, v *api.Verdict) { v.Reason, v.Sticky = latchkey.AccountDisabled, true }, "deny account_disabled"},
		"machine removed": {func(w *world, v *api.Verdict) { v.Reason, v.Sticky = latchkey.MachineRemoved, true }, "deny machine_removed"},
		"disenrolled":     {func(w *world, v *api.Verdict) { v.Reason, v.Sticky = latchkey.NotEnrolledHere, true }, "deny not_enrolled_here"},
		"C15 locked for an hour": {func(w *world, v *api.Verdict) {
			v.Outcome, v.Reason, v.Sticky, v.Until = latchkey.Locked, latchkey.LockedOut, true, w.wall.Add(time.Hour).UnixMilli()
		}, "locked locked"},
		"a wrong code is no lasting cause": {func(w *world, v *api.Verdict) { v.Reason = latchkey.WrongCode }, allowed},
		"nor is being throttled":           {func(w *world, v *api.Verdict) { v.Reason = latchkey.Throttled }, allowed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := offline(t, asIs)
			w.absorb(w.logon(latchkey.Console), func(v *api.Verdict) {
				v.Outcome = latchkey.Denied
				tc.change(w, v)
			})
			w.restart()
			expect(t, w.login(latchkey.Console, w.totp(w.wall)), tc.want)
		})
	}
}

func TestALastingDenialEndsWithANewerHeader(t *testing.T) {
	t.Parallel()
	w, u := offline(t, asIs)
	deny := func(v *api.Verdict) {
		v.Outcome, v.Reason, v.Sticky = latchkey.Denied, latchkey.AccountDisabled, true
	}
	w.absorb(w.logon(latchkey.Console), deny)
	expect(t, w.login(latchkey.Console), "deny account_disabled")
	w.store(u)
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
}

func TestC15ALockEndsByItsTimeAndNotByTheNextHeader(t *testing.T) {
	t.Parallel()
	w, u := offline(t, asIs)
	lock := func(v *api.Verdict) {
		v.Outcome, v.Reason, v.Sticky, v.Until = latchkey.Locked, latchkey.LockedOut, true, w.wall.Add(time.Hour).UnixMilli()
	}
	w.absorb(w.logon(latchkey.Console), lock)
	w.store(u)
	expect(t, w.login(latchkey.Console), "locked locked")
	w.pass(61 * time.Minute)
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
	w.absorb(w.logon(latchkey.Console), lock)
	w.pass(time.Minute)
	w.version++
	w.online()
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
}

func TestAHeaderThatSaysDisabledDenies(t *testing.T) {
	t.Parallel()
	for _, status := range []string{bundle.Disabled, "", "unheard of"} {
		w, u := offline(t, asIs)
		u.header.Status = status
		w.store(u)
		expect(t, w.login(latchkey.Console, w.totp(w.wall)), "deny account_disabled")
	}
}

func TestFloorsOfAnOnlineLoginCountOffline(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	code := w.totp(w.wall)
	w.absorb(w.logon(latchkey.Console), func(v *api.Verdict) {
		v.Anchor = w.wall.UnixMilli()
		v.Floors = []latchkey.Floor{{Credential: totpID, Next: uint64(w.wall.Unix()/30) + 1}}
	})
	expect(t, w.login(latchkey.Console, code), replayed)
	w.absorb(w.logon(latchkey.Console), func(v *api.Verdict) { v.Floors = []latchkey.Floor{{Credential: totpID, Next: 1}} })
	expect(t, w.login(latchkey.Console, code), replayed)
}

func TestAVerdictIsForOneLogonOfOneMachine(t *testing.T) {
	t.Parallel()
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	for name, tc := range map[string]struct {
		change  func(*api.Verdict)
		signer  ed25519.PrivateKey
		unasked bool
		want    error
	}{
		"B13 another nonce":     {func(v *api.Verdict) { v.Nonce = "other" }, nil, false, vault.ErrForeign},
		"no question":           {func(v *api.Verdict) { v.Nonce = "" }, nil, true, vault.ErrForeign},
		"another logon":         {func(v *api.Verdict) { v.Logon = "other" }, nil, false, vault.ErrForeign},
		"H07 another machine":   {func(v *api.Verdict) { v.Machine = "m2" }, nil, false, vault.ErrForeign},
		"another deployment":    {func(v *api.Verdict) { v.Deployment = "d2" }, nil, false, vault.ErrForeign},
		"a key that is unknown": {func(v *api.Verdict) {}, stranger, false, seal.ErrUnknownKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := offline(t, asIs)
			before := w.v.Status().Generation
			if tc.signer != nil {
				w.signer = tc.signer
			}
			l := w.logon(latchkey.Console)
			q := w.inquire()
			if tc.unasked {
				q = vault.Inquiry{}
			}
			v, err := w.v.Absorb(l, w.verdict(l, q, tc.change), q)
			if !errors.Is(err, tc.want) || v.Outcome.Enters() {
				t.Errorf("verdict %v, error %v", v.Outcome, err)
			}
			if w.v.Status().Generation != before {
				t.Error("it has left a trace")
			}
		})
	}
	t.Run("an object of another type", func(t *testing.T) {
		w, _ := offline(t, asIs)
		l, q := w.logon(latchkey.Console), w.inquire()
		if v, err := w.v.Absorb(l, w.health(q.Nonce, w.wall), q); !errors.Is(err, seal.ErrType) || v.Outcome.Enters() {
			t.Errorf("verdict %v, error %v", v.Outcome, err)
		}
	})
}

func TestAVerdictOutsideTheClosedListsDenies(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*api.Verdict){
		"an unknown outcome":            func(v *api.Verdict) { v.Outcome = "come in" },
		"no outcome":                    func(v *api.Verdict) { v.Outcome = "" },
		"an unknown reason":             func(v *api.Verdict) { v.Reason = "because" },
		"let in with a denial's reason": func(v *api.Verdict) { v.Reason = latchkey.WrongCode },
		"denied with an entry's reason": func(v *api.Verdict) { v.Outcome = latchkey.Denied },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := offline(t, asIs)
			expect(t, w.absorb(w.logon(latchkey.Console), change), "deny internal")
		})
	}
}

func TestE03OlderObjectsAreRefused(t *testing.T) {
	t.Parallel()
	w, u := offline(t, func(u *user) { u.policy.Unreachable = latchkey.Skip })
	old, oldHeader, oldSettings := w.issue(u), w.file("users/u-ana/header"), w.file("settings.dsse")
	u.policy.Unreachable = latchkey.Deny
	w.store(u)
	if err := w.v.Store(old); !errors.Is(err, vault.ErrOlder) {
		t.Errorf("an older header: %v", err)
	}
	exempt := func(s *api.Settings) { s.Settings.Mode = latchkey.Exempt }
	w.newSettings(exempt)
	w.put("settings.dsse", oldSettings)
	w.put("users/u-ana/header", oldHeader)
	w.restart()
	expect(t, w.login(latchkey.Console), "deny state_corrupt")
	if w.v.Status().Signed {
		t.Error("older settings count as signed")
	}
}

func TestH08TheSameVersionWithAnotherContentIsRefused(t *testing.T) {
	t.Parallel()
	w, u := offline(t, asIs)
	w.version--
	u.policy.Unreachable = latchkey.Skip
	if err := w.v.Store(w.issue(u)); !errors.Is(err, vault.ErrForked) {
		t.Errorf("a second header: %v", err)
	}
	version := w.version
	w.newSettings(func(*api.Settings) {})
	w.version = w.version - 1
	req, err := w.v.Pending(0)
	must(t, err)
	q := w.inquire()
	forked := w.settings(func(s *api.Settings) { s.Settings.Mode = latchkey.Exempt })
	if _, err := w.v.Merge(q, req, api.SyncResponse{Health: w.health(q.Nonce, w.wall), Settings: forked}); !errors.Is(err, vault.ErrForked) {
		t.Errorf("second settings: %v (version %d)", err, version)
	}
	w.version--
	w.merge(func(r *api.SyncResponse) { // the same ones, signed again
		r.Settings = w.settings(func(s *api.Settings) { s.NotAfter += 7_200_000 })
	})
}

func TestABundleOfSomebodyElseIsRefused(t *testing.T) {
	t.Parallel()
	otherKey, err := ecdh.P256().GenerateKey(rand.Reader)
	must(t, err)
	for name, bend := range map[string]func(*world, *user) api.BundleResponse{
		"another machine": func(w *world, u *user) api.BundleResponse { u.header.Machine = "m2"; return w.issue(u) },
		"another user's under his name": func(w *world, u *user) api.BundleResponse {
			u.header.User = "u-bob"
			r := w.issue(u)
			r.User = ana
			return r
		},
		"sealed to another key":        func(w *world, u *user) api.BundleResponse { w.sealing = otherKey; return w.issue(u) },
		"another version than it says": func(w *world, u *user) api.BundleResponse { r := w.issue(u); r.Version++; return r },
		"an altered header":            func(w *world, u *user) api.BundleResponse { r := w.issue(u); r.Header[80] ^= 1; return r },
		"an altered chunk":             func(w *world, u *user) api.BundleResponse { r := w.issue(u); r.Chunks[0].Sealed[80] ^= 1; return r },
		"another chunk's codes": func(w *world, u *user) api.BundleResponse {
			r := w.issue(u)
			r.Chunks[0].Sealed = r.Chunks[1].Sealed
			return r
		},
		"a chunk that is missing": func(w *world, u *user) api.BundleResponse { r := w.issue(u); r.Chunks = r.Chunks[1:]; return r },
		"an id that is a path":    func(w *world, u *user) api.BundleResponse { u.header.User = "../x"; return w.issue(u) },
		"an id that hides":        func(w *world, u *user) api.BundleResponse { u.header.User = ".x"; return w.issue(u) },
		"a chunk named as a path": func(w *world, u *user) api.BundleResponse {
			r := w.issue(u)
			r.Chunks = append(r.Chunks, api.SealedChunk{SHA256: "../../x", Sealed: []byte("x")})
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.contact(w.wall)
			u := w.person()
			if err := w.v.Store(bend(w, u)); err == nil {
				t.Fatal("it was taken")
			}
			if _, err := os.Stat(w.path("users/u-ana/header")); err == nil {
				t.Error("it was written")
			}
			expect(t, w.login(latchkey.Console), "deny unknown_identity")
		})
	}
}

func TestABrokenBundleIsNoticedAndFetchedAgain(t *testing.T) {
	t.Parallel()
	w, u := offline(t, asIs)
	sums, err := w.v.Have(ana)
	must(t, err)
	name := "users/u-ana/chunk-" + sums[0]
	raw := w.file(name)
	raw[90] ^= 1
	w.put(name, raw)
	w.restart()
	expect(t, w.login(latchkey.Console), "deny state_corrupt")
	again := w.issue(u)
	if news := w.merge(func(r *api.SyncResponse) { r.Users = []api.News{{User: ana, Version: 1}} }); len(news) != 1 {
		t.Fatalf("news %v", news)
	}
	all := again.Chunks
	again.Chunks = nil // as if it held them all
	if err := w.v.Store(again); err == nil {
		t.Error("a damaged chunk passed")
	}
	sums, err = w.v.Have(ana)
	must(t, err)
	if len(sums) != len(all)-1 {
		t.Errorf("%d of %d chunks are said to be held", len(sums), len(all))
	}
	again.Chunks = all
	must(t, w.v.Store(again))
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
}

func TestH11ExpiredPolicyOrSettingsEnforce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		prepare func(*world, *user)
		wait    time.Duration
		want    string
	}{
		"H04 an exempt machine lets in": {func(w *world, u *user) {
			w.newSettings(func(s *api.Settings) { s.Settings.Mode = latchkey.Exempt })
		}, 0, "not-required machine_exempt"},
		"until its settings expire": {func(w *world, u *user) {
			w.newSettings(func(s *api.Settings) {
				s.Settings.Mode = latchkey.Exempt
				s.NotAfter = w.wall.Add(time.Hour).UnixMilli()
			})
		}, 2 * time.Hour, "ask secret One-time code (3 offline logins left, until 27 Nov)"},
		"or ask for a newer agent": {func(w *world, u *user) {
			w.newSettings(func(s *api.Settings) { s.Settings.Mode, s.MinAgent = latchkey.Exempt, "1.0.1" })
		}, 0, "ask secret One-time code (3 offline logins left, until 27 Nov)"},
		"a policy that skips": {func(w *world, u *user) {
			u.policy.Unreachable, u.policy.Factors.Offline = latchkey.Skip, nil
			w.store(u)
		}, 0, "not-required skipped_unreachable"},
		"skips no more when it has expired": {func(w *world, u *user) {
			u.policy.Unreachable, u.policy.Factors.Offline = latchkey.Skip, nil
			w.store(u)
		}, 31 * 24 * time.Hour, "deny offline_limit_reached"},
		"H12 a factor that the policy took away is not asked": {func(w *world, u *user) {
			u.policy.Factors.Offline = []latchkey.Kind{latchkey.HOTP}
			w.store(u)
		}, 0, "deny not_enrolled_here"},
		"H02 an enforced machine never skips": {func(w *world, u *user) {
			u.policy.Unreachable, u.policy.Factors.Offline = latchkey.Skip, nil
			w.store(u)
			w.newSettings(func(s *api.Settings) { s.Settings.Mode = latchkey.Enforce })
		}, 0, "deny not_enrolled_here"},
		"a removed machine denies": {func(w *world, u *user) {
			w.newSettings(func(s *api.Settings) { s.Removed = true })
		}, 0, "deny machine_removed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, u := offline(t, asIs)
			tc.prepare(w, u)
			w.pass(tc.wait)
			w.restart()
			expect(t, w.login(latchkey.Console), tc.want)
		})
	}
}

func TestH11AnExpiredHeaderSkipsNoMore(t *testing.T) {
	t.Parallel()
	w, u := offline(t, asIs)
	u.policy.Unreachable, u.policy.Factors.Offline = latchkey.Skip, nil
	w.version++
	h := u.header
	h.Version, h.NotAfter, h.Policy = w.version, w.wall.Add(time.Hour).UnixMilli(), &u.policy
	h, raws := bundle.Pack(h, u.policy.Limit(latchkey.Software), u.sources)
	must(t, w.v.Store(w.sealed(h, raws)))
	expect(t, w.login(latchkey.Console), "not-required skipped_unreachable")
	w.pass(2 * time.Hour)
	expect(t, w.login(latchkey.Console), "deny not_enrolled_here")
}

func TestL03ATombstoneWipesAndIsReported(t *testing.T) {
	t.Parallel()
	w, u := offline(t, asIs)
	u.header.Status = bundle.Tombstoned
	dead := w.issue(u)
	must(t, w.v.Store(dead))
	if _, err := os.Stat(w.path("users/u-ana")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("files are left: %v", err)
	}
	expect(t, w.login(latchkey.Console), "deny account_disabled")
	wiped := func() bool {
		req, err := w.v.Pending(0)
		must(t, err)
		return len(req.Users) == 1 && req.Users[0].Wiped && req.Users[0].Version == dead.Version
	}
	if !wiped() {
		t.Error("the tombstone is not reported")
	}
	w.restart()
	if !wiped() {
		t.Error("the tombstone is not reported after a restart")
	}
	w.merge(func(*api.SyncResponse) {})
	if req, err := w.v.Pending(0); err != nil || len(req.Users) != 0 {
		t.Errorf("after the acknowledgement %v, %v", req.Users, err)
	}
	expect(t, w.login(latchkey.Console), "deny account_disabled")
	u.header.Status = bundle.Active
	w.store(u)
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
}

func TestEventsReachTheServerAndAreForgotten(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	w.merge(func(*api.SyncResponse) {})
	expect(t, w.login(latchkey.Console, w.wrong()), wrongCode)
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
	l := w.logon(latchkey.Console)
	l.User = "no\x1bbody"
	expect(t, w.run(l), "deny unknown_identity")
	w.restart()
	req, err := w.v.Pending(100)
	must(t, err)
	if len(req.Events) != 3 || req.Proof == nil || req.Generation == 0 {
		t.Fatalf("pending %+v", req)
	}
	in := req.Events[1]
	if in.User != ana || in.Outcome != latchkey.Allowed || in.Kind != latchkey.TOTP || in.Credential != totpID ||
		in.Used != uint64(w.wall.Unix()/30) || in.Prev != req.Events[0].Sum() || in.At != w.wall.UnixMilli() || in.Seq != 2 {
		t.Errorf("event %+v", in)
	}
	if got := req.Events[2]; got.Typed != "no?body" || got.User != "" {
		t.Errorf("event %+v", got)
	}
	k := req.Users[0]
	if k.Uses != 1 || len(k.Floors) != 1 || k.Floors[0].Next != in.Used+1 {
		t.Errorf("known %+v", k)
	}
	w.merge(func(*api.SyncResponse) {})
	if req, err = w.v.Pending(100); err != nil || len(req.Events) != 0 {
		t.Errorf("after the acknowledgement %v, %v", req.Events, err)
	}
}

func TestAMergeIsBoundToItsRequest(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	req, err := w.v.Pending(0)
	must(t, err)
	resp := api.SyncResponse{Health: w.health("other", w.wall), Settings: w.settings(func(s *api.Settings) { s.Settings.Mode = latchkey.Exempt })}
	if _, err := w.v.Merge(w.inquire(), req, resp); !errors.Is(err, vault.ErrForeign) {
		t.Errorf("error %v", err)
	}
	if w.v.Status().Settings.Mode == latchkey.Exempt {
		t.Error("settings were taken")
	}
}

func TestE05ALostLedgerIsNoNewAllowance(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*world){
		"ledger deleted":     func(w *world) { must(w.t, os.Remove(w.path("ledger"))) },
		"ledger overwritten": func(w *world) { w.put("ledger", make([]byte, 1<<20)) },
		"ledger cut":         func(w *world) { must(w.t, os.Truncate(w.path("ledger"), 5000)) },
		"key deleted":        func(w *world) { must(w.t, os.Remove(w.path("local.key"))) },
		"key of another":     func(w *world) { w.put("local.key", make([]byte, 200)) },
		"F06 a folder": func(w *world) {
			must(w.t, os.Remove(w.path("ledger")))
			must(w.t, os.Mkdir(w.path("ledger"), 0o700))
		},
		"F06 a link": func(w *world) {
			must(w.t, os.Rename(w.path("ledger"), w.path("elsewhere")))
			must(w.t, os.Symlink("elsewhere", w.path("ledger")))
		},
		"F06 two gigabytes": func(w *world) { must(w.t, os.Truncate(w.path("ledger"), 2<<30)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, u := offline(t, asIs)
			for range 3 {
				expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
				w.pass(time.Minute)
			}
			w.v.Close()
			must(t, w.box.Close())
			lose(w)
			w.reopen()
			expect(t, w.login(latchkey.Console), "deny state_corrupt")
			w.restart()
			expect(t, w.login(latchkey.Console), "deny state_corrupt")
			w.merge(func(r *api.SyncResponse) { r.Acked = 0 })
			w.store(u)
			expect(t, w.login(latchkey.Console), "deny not_enrolled_here")
			w.pass(time.Minute)
			w.online()
			expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
		})
	}
}

func TestALostLedgerWaivesNothing(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	w.newSettings(func(s *api.Settings) { s.Settings.Mode = latchkey.Exempt })
	expect(t, w.login(latchkey.Console), "not-required machine_exempt")
	w.v.Close()
	must(t, w.box.Close())
	must(t, os.Remove(w.path("ledger")))
	w.reopen()
	expect(t, w.login(latchkey.Console), "deny state_corrupt")
	w.contact(w.wall) // but which settings are the newest is not known yet
	expect(t, w.login(latchkey.Console), "deny unknown_identity")
	w.newSettings(func(s *api.Settings) { s.Settings.Mode = latchkey.Exempt })
	expect(t, w.login(latchkey.Console), "not-required machine_exempt")
}

func TestEventsOfALostLedgerAreKeptApart(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
	w.v.Close()
	must(t, w.box.Close())
	must(t, os.Remove(w.path("ledger")))
	w.reopen()
	expect(t, w.login(latchkey.Console), "deny state_corrupt")
	w.merge(func(r *api.SyncResponse) { r.Acked = 400 }) // what the server has of the machine
	req, err := w.v.Pending(10)
	must(t, err)
	if len(req.Events) != 1 || req.Events[0].Seq != 401 || req.Events[0].Reason != latchkey.StateCorrupt {
		t.Errorf("events %+v", req.Events)
	}
}

func TestJTrust(t *testing.T) {
	t.Parallel()
	trusting := func(u *user) {
		hours := 2
		u.policy.TrustHours = &hours
	}
	give := func(w *world) {
		l := w.logon(latchkey.Console)
		expect(w.t, w.run(l, w.totp(w.wall)), allowed)
		must(w.t, w.v.Trust(l.ID))
		w.pass(time.Minute)
	}
	for name, tc := range map[string]struct {
		then func(*world)
		s    latchkey.Scenario
		want string
	}{
		"J01 no question at the next login": {func(*world) {}, latchkey.Console, "allow trusted"},
		"J01 nor after a restart":           {func(w *world) { w.restart() }, latchkey.Unlock, "allow trusted"},
		"J01 again after two hours":         {func(w *world) { w.pass(2 * time.Hour) }, latchkey.Console, "ask"},
		"J02 again after a reboot":          {func(w *world) { w.reboot(time.Second) }, latchkey.Console, "ask"},
		"J04 sudo is asked":                 {func(*world) {}, latchkey.Elevate, "ask"},
		"J04 remote is asked":               {func(*world) {}, latchkey.RemoteLogon, "ask"},
		"J05 the policy takes it away": {func(w *world) {
			u := w.person()
			w.store(u)
		}, latchkey.Console, "ask"},
		"J06 an enforced machine asks": {func(w *world) {
			w.newSettings(func(s *api.Settings) { s.Settings.Mode = latchkey.Enforce })
		}, latchkey.Console, "ask"},
		"J07 the allowance is used up": {func(w *world) {
			for range 2 {
				l := w.logon(latchkey.RemoteLogon)
				expect(w.t, w.run(l, w.totp(w.wall)), allowed)
				w.pass(time.Minute)
			}
		}, latchkey.Console, "deny offline_limit_reached"},
		"a disabled user is denied": {func(w *world) {
			w.absorb(w.logon(latchkey.Console), func(v *api.Verdict) {
				v.Outcome, v.Reason, v.Sticky = latchkey.Denied, latchkey.AccountDisabled, true
			})
		}, latchkey.Console, "deny account_disabled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := offline(t, trusting)
			give(w)
			tc.then(w)
			if got := w.login(tc.s); !strings.HasPrefix(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestJ06TrustThatWasNotOfferedIsRefused(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	l := w.logon(latchkey.Console)
	expect(t, w.run(l, w.totp(w.wall)), allowed)
	if err := w.v.Trust(l.ID); !errors.Is(err, vault.ErrNoOffer) {
		t.Errorf("without a policy for it: %v", err)
	}
	l = w.logon(latchkey.RemoteLogon)
	w.absorb(l, func(v *api.Verdict) { v.Trust = w.wall.Add(time.Hour).UnixMilli() })
	if _, ok := w.v.Offer(l.ID); ok {
		t.Error("offered after a remote login")
	}
	l = w.logon(latchkey.Console)
	w.absorb(l, func(v *api.Verdict) { v.Trust = w.wall.Add(time.Hour).UnixMilli() })
	if until, ok := w.v.Offer(l.ID); !ok || !until.Equal(w.wall.Add(time.Hour)) {
		t.Errorf("offer %v, %v", until, ok)
	}
	w.pass(time.Hour)
	if err := w.v.Trust(l.ID); !errors.Is(err, vault.ErrNoOffer) {
		t.Errorf("an hour later: %v", err)
	}
}

func TestGraceSparesTheNextQuestionInOneSession(t *testing.T) {
	t.Parallel()
	sudo := func(w *world, tty string) latchkey.Logon {
		l := w.logon(latchkey.Elevate)
		l.TTY = tty
		return l
	}
	w, _ := offline(t, func(u *user) {
		u.policy.Scenarios = map[latchkey.Scenario]latchkey.ScenarioRules{latchkey.Elevate: {Ask: true, GraceMinutes: 5}, latchkey.RemoteLogon: {Ask: true, GraceMinutes: 5}}
	})
	expect(t, w.run(sudo(w, "pts/1"), w.totp(w.wall)), allowed)
	w.pass(time.Minute)
	expect(t, w.run(sudo(w, "pts/1")), "allow grace")
	for name, l := range map[string]latchkey.Logon{"another terminal": sudo(w, "pts/2"), "no terminal": sudo(w, "")} {
		if got := w.run(l); !strings.HasPrefix(got, "ask") {
			t.Errorf("%s: %s", name, got)
		}
	}
	remote := sudo(w, "pts/1")
	remote.Scenario = latchkey.RemoteLogon
	expect(t, w.run(remote, w.totp(w.wall)), allowed)
	remote.ID = "r2"
	if got := w.run(remote); !strings.HasPrefix(got, "ask") {
		t.Errorf("remote: %s", got)
	}
	w.pass(5 * time.Minute)
	if got := w.run(sudo(w, "pts/1")); !strings.HasPrefix(got, "ask") {
		t.Errorf("after its time: %s", got)
	}
}

func TestAnAccountIsJudgedWithoutAFactor(t *testing.T) {
	t.Parallel()
	w, u := offline(t, asIs)
	l := w.logon(latchkey.RemoteLogon)
	l.Account = true
	expect(t, w.run(l), "not-required scenario_off")
	u.header.Status = bundle.Disabled
	w.store(u)
	expect(t, w.run(l), "deny account_disabled")
}

func TestTheClockIsNotBelievedBehindItsFloor(t *testing.T) {
	t.Parallel()
	w, u := offline(t, func(u *user) { u.sources = []bundle.Source{totpSource(t), hotpSource(t)} })
	code := w.totp(w.wall)
	w.pass(10 * time.Minute)
	expect(t, w.login(latchkey.Unlock, "totp", w.totp(w.wall)), allowed)
	w.reboot(-15 * time.Minute) // D02
	if got := w.login(latchkey.Unlock, code); strings.HasPrefix(got, "allow") {
		t.Errorf("a code from before the floor: %s", got)
	}
	expect(t, w.login(latchkey.Unlock, w.hotp(0)), allowed) // a token proves no time
	u.sources = u.sources[:1]
	w.store(u)
	expect(t, w.login(latchkey.Unlock), "deny clock_behind")
	w.contact(w.wall)
	expect(t, w.login(latchkey.Unlock), "ask secret One-time code (3 offline logins left, until 27 Nov)")
}

func TestD05AJumpAheadCountsOnceACodeProvesIt(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	w.reboot(48 * time.Hour) // nobody knows yet whether two days have passed
	w.reboot(-48 * time.Hour)
	expect(t, w.login(latchkey.Unlock, w.totp(w.wall)), allowed)
	w.reboot(48 * time.Hour)
	expect(t, w.login(latchkey.Unlock, w.totp(w.wall)), allowed)
	w.reboot(-24 * time.Hour)
	expect(t, w.login(latchkey.Unlock), "deny clock_behind")
}

func TestD01CodesNearNowAndNoOthers(t *testing.T) {
	t.Parallel()
	for off, want := range map[int]string{-60: wrongCode, -30: allowed, 30: allowed, 60: wrongCode} {
		w, _ := offline(t, asIs)
		expect(t, w.login(latchkey.Console, w.totp(w.wall.Add(time.Duration(off)*time.Second))), want)
	}
}

func TestTheFirstOnlineLoginTiesTheUid(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	l := w.logon(latchkey.Console)
	l.UID = uid(1000)
	w.absorb(l, func(v *api.Verdict) { v.Anchor = w.wall.UnixMilli() })
	l = w.logon(latchkey.Console)
	l.UID = uid(1001)
	expect(t, w.run(l), "deny unknown_identity")
	l = w.logon(latchkey.Console)
	l.UID = uid(1000)
	expect(t, w.run(l, w.totp(w.wall)), allowed)
}

func TestAProgramOfTheUsersOwnTiesNoUid(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	l := w.logon(latchkey.Unlock)
	l.UID, l.Caller = uid(1000), 1000
	w.absorb(l, func(v *api.Verdict) { v.Anchor = w.wall.UnixMilli() })
	l = w.logon(latchkey.Console)
	l.UID = uid(1001)
	expect(t, w.run(l, w.totp(w.wall)), allowed)
}

func TestStatusSaysWhatTheMachineCouldDoAlone(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, func(u *user) { u.sources = []bundle.Source{totpSource(t), hotpSource(t)} })
	expect(t, w.login(latchkey.Console, "totp", w.totp(w.wall)), allowed)
	s := w.v.Status()
	if !s.Signed || s.Corrupt || s.Removed || s.Behind || !s.SignedAt.Equal(start) || s.Pending != 1 || s.Generation == 0 || len(s.Users) != 1 {
		t.Fatalf("status %+v", s)
	}
	u := s.Users[0]
	if u.ID != ana || u.User != "Ana" || !u.Enrolled || u.Locked || u.Denied != "" || u.Left == nil || u.Left.Logins != 2 ||
		!slices.Equal(u.Authenticators, []latchkey.Kind{latchkey.TOTP, latchkey.HOTP}) {
		t.Errorf("user %+v", u)
	}
	w.absorb(w.logon(latchkey.Console), func(v *api.Verdict) {
		v.Outcome, v.Reason, v.Sticky = latchkey.Denied, latchkey.AccountDisabled, true
	})
	if u := w.v.Status().Users[0]; u.Denied != latchkey.AccountDisabled {
		t.Errorf("denied %q", u.Denied)
	}
	before := w.v.Status().Generation
	if w.v.Status().Generation != before {
		t.Error("looking at the status wrote something")
	}
}

func TestAUserSeenOnlineWithoutABundleIsNotEnrolledHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.online()
	expect(t, w.login(latchkey.Console), "deny not_enrolled_here")
	other := w.logon(latchkey.Console)
	other.User = "bob"
	expect(t, w.run(other), "deny unknown_identity")
	w.newSettings(func(s *api.Settings) { s.Settings.UnknownUsers = latchkey.Skip })
	other.ID = "b2"
	expect(t, w.run(other), "not-required not_covered")
}

func TestAHeaderGrantsNoMoreThanTheClassAllows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.contact(w.wall)
	u := w.person()
	days := 90
	u.policy.Offline.Days = &days
	w.version++
	h := u.header
	h.Version, h.NotAfter, h.Policy = w.version, w.wall.Add(90*24*time.Hour).UnixMilli(), &u.policy
	h, raws := bundle.Pack(h, latchkey.Limit{Days: 40}, u.sources) // a server that forgot the class
	must(t, w.v.Store(w.sealed(h, raws)))
	expect(t, w.status(), "Ana 3 until 2026-12-04 09:00:00")
	w.pass(15 * 24 * time.Hour)
	expect(t, w.login(latchkey.Console), "deny offline_limit_reached")
}

func TestANewPhoneBuysNoGuesses(t *testing.T) {
	t.Parallel()
	w, u := offline(t, asIs)
	w.lockOut()
	u.sources[0].ID = "a-new-phone"
	w.store(u)
	expect(t, w.login(latchkey.Console), "locked locked")
}

func TestASecondVaultIsNotCreatedOverTheFirst(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, asIs)
	if _, err := vault.Create(w.config, w.keySet(1), w.settings(func(*api.Settings) {})); err == nil {
		t.Error("created twice")
	}
	expect(t, w.login(latchkey.Console, w.totp(w.wall)), allowed)
}

func TestAJoinThatFailsCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.v.Close()
	must(t, w.box.Remove("ledger"))
	must(t, w.box.Remove("local.key"))
	good := w.settings(func(*api.Settings) {})
	for name, tc := range map[string]struct{ keys, settings []byte }{
		"settings of another machine": {w.keySet(1), w.settings(func(s *api.Settings) { s.Machine = "m2" })},
		"keys that are none":          {[]byte("{}"), good},
		"keys signed by none of them": {w.sign(api.KeySetType, api.KeySet{Deployment: deployment, Version: 1, Keys: []string{"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}), good},
		"no keys at all":              {w.sign(api.KeySetType, api.KeySet{Deployment: deployment, Version: 1, Keys: []string{}}), good},
	} {
		if _, err := vault.Create(w.config, tc.keys, tc.settings); err == nil {
			t.Errorf("%s: created", name)
		}
	}
	var err error
	w.v, err = vault.Create(w.config, w.keySet(1), good)
	must(t, err)
}

func TestAKeySetFromOutsideIsRefused(t *testing.T) {
	t.Parallel()
	w, u := offline(t, asIs)
	req, err := w.v.Pending(0)
	must(t, err)
	q := w.inquire()
	resp := api.SyncResponse{Health: w.health(q.Nonce, w.wall)}
	_, w.signer, err = ed25519.GenerateKey(rand.Reader)
	must(t, err)
	resp.Keys = w.keySet(2)
	if _, err := w.v.Merge(q, req, resp); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("error %v", err)
	}
	if err := w.v.Store(w.issue(u)); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("a bundle under the foreign key: %v", err)
	}
}

func TestG01AndG05TheStateHoldsNoSeedAndIsTheAgentsAlone(t *testing.T) {
	t.Parallel()
	w, _ := offline(t, func(u *user) { u.sources = []bundle.Source{totpSource(t), hotpSource(t)} })
	code := w.totp(w.wall)
	expect(t, w.login(latchkey.Console, "totp", code), allowed)
	files := 0
	must(t, filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || d.IsDir() {
			return err
		}
		files++
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		raw, err := os.ReadFile(path)
		for form, text := range map[string]string{
			"raw": string(key20), "hex": hex.EncodeToString(key20), "base32": base32.StdEncoding.EncodeToString(key20),
			"base64": base64.RawStdEncoding.EncodeToString(key20), "a code": code,
		} {
			if strings.Contains(strings.ToLower(string(raw)), strings.ToLower(text)) {
				t.Errorf("%s holds the seed or a code (%s)", path, form)
			}
		}
		return err
	}))
	if files < 8 {
		t.Errorf("only %d files were looked at", files)
	}
}
