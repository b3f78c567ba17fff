package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey"
	"latchkey/internal/logon"
	"latchkey/internal/vault"
)

// Logon implements ipc.Handler: the server judges, or the vault while the
// server cannot be asked.
func (a *Agent) Logon(ctx context.Context, s logon.Screen, l latchkey.Logon) latchkey.Verdict {
	began := time.Now()
	v, err := a.judge(ctx, s, &l)
	if newsFollow(v) {
		a.syncer.Kick()
	}
	if v.Outcome.Enters() {
		a.proofs.keep(l, a.clock().Boot)
		a.offerTrust(ctx, s, l)
	}
	a.tell(l, v, err, time.Since(began))
	return v
}

// newsFollow reports whether the server has something new for this machine: a
// new allowance, or a user whom it did not know. It is fetched while the server
// is there.
func newsFollow(v latchkey.Verdict) bool {
	return !v.Offline && (v.Outcome.Enters() || v.Reason == latchkey.NotEnrolled || v.Reason == latchkey.NoPolicy)
}

// judge names the logon and runs it. The event of the verdict is the logon's
// id: both the machine's and the server's audit trail carry it, and it is too
// long to be guessed.
func (a *Agent) judge(ctx context.Context, s logon.Screen, l *latchkey.Logon) (latchkey.Verdict, error) {
	var err error
	if l.ID, err = logon.NewID(rand.Reader); err != nil {
		return latchkey.DenyVerdict(latchkey.InternalError), err
	}
	l.Trusted, l.Graced = a.vault.Tickets(*l)
	v, err := logon.Run(ctx, s, *l, a.server, a.vault)
	a.say(&v)
	v.Event = l.ID
	return v, err
}

// say puts a verdict into words where nobody has, and where only the agent knows
// that it is the machine that nobody knows yet.
func (a *Agent) say(v *latchkey.Verdict) {
	switch {
	case v.Reason == latchkey.UnknownIdentity && a.syncer.State().Machine == latchkey.Pending:
		v.Text = logon.MachineWaits
	case v.Text == "":
		v.Text = logon.Sentence(*v, a.wall())
	}
}

// tell writes one line for each logon.
func (a *Agent) tell(l latchkey.Logon, v latchkey.Verdict, err error, took time.Duration) {
	log := a.log.With(
		"logon", l.ID, "user", l.User, "scenario", string(l.Scenario), "service", l.Service, "tty", l.TTY, "rhost", l.RHost,
		"caller", l.Caller, "account", l.Account, "outcome", string(v.Outcome), "reason", string(v.Reason),
		"offline", v.Offline, "took_ms", took.Milliseconds(),
	)
	if err != nil {
		log.Error("logon", "error", err)
		return
	}
	log.Info("logon")
}

// Refused implements ipc.Handler. Where the machine may be anybody's, one user
// asking for another is worth a line in the log, and no more: he could repeat
// it for ever.
func (a *Agent) Refused(l latchkey.Logon) {
	a.tell(l, latchkey.DenyVerdict(latchkey.UnknownIdentity), nil, 0)
}

// trustTime is how long a person may think about trusting the machine.
const trustTime = time.Minute

// trustPrompt is the number of the question: authorities count theirs from 1.
const trustPrompt = 1 << 16

// offerTrust asks whether this machine may be trusted for a while, where the
// policy allows it. Whatever is answered, the login stays what it is.
func (a *Agent) offerTrust(ctx context.Context, s logon.Screen, l latchkey.Logon) {
	until, ok := a.vault.Offer(l.ID)
	if !ok {
		return
	}
	answer, err := s.Ask(ctx, latchkey.Prompt{
		ID: trustPrompt, Kind: latchkey.AskConfirm, Expires: trustTime,
		Label: fmt.Sprintf("Trust this machine until %s, so that you are not asked again here?", until.Local().Format("2 Jan 15:04")),
	})
	if err != nil || !confirmed(string(answer.Value)) {
		return
	}
	if err := a.vault.Trust(l.ID); err != nil && !errors.Is(err, vault.ErrNoOffer) {
		a.log.Error("keeping trust", "logon", l.ID, "error", err)
	}
}

func confirmed(typed string) bool {
	switch strings.ToLower(strings.TrimSpace(typed)) {
	case "y", "yes":
		return true
	}
	return false
}

// Account implements ipc.Handler: may the account enter, nothing being asked?
// The order is that of the protocol (docs/formats/lklp.md, OP account).
func (a *Agent) Account(ctx context.Context, l latchkey.Logon, proof string) latchkey.Verdict {
	began := time.Now()
	v, err := a.account(ctx, &l, proof)
	a.say(&v)
	if !v.Outcome.Enters() || l.Scenario == latchkey.RemoteLogon {
		a.tell(l, v, err, time.Since(began)) // cron comes here every minute
	}
	return v
}

func (a *Agent) account(ctx context.Context, l *latchkey.Logon, proof string) (latchkey.Verdict, error) {
	var err error
	if l.ID, err = logon.NewID(rand.Reader); err != nil {
		return latchkey.DenyVerdict(latchkey.InternalError), err
	}
	t, err := a.vault.Begin(ctx, *l)
	if err != nil || t.Verdict == nil {
		return latchkey.DenyVerdict(latchkey.InternalError), err
	}
	switch {
	case !t.Verdict.Outcome.Enters(): // gone, or not who he was
		return *t.Verdict, nil
	case l.Scenario != latchkey.RemoteLogon:
		return latchkey.Verdict{Outcome: latchkey.NotRequired, Reason: latchkey.ScenarioOff}, nil
	case a.proofs.spend(proof, *l, a.clock().Boot):
		return latchkey.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.Grace}, nil
	}
	return a.unasked(ctx, *l)
}

// unasked is the verdict on a remote login for which no code was asked: only
// who would be let in without one is let in.
func (a *Agent) unasked(ctx context.Context, l latchkey.Logon) (latchkey.Verdict, error) {
	l.Account = false
	v, err := logon.Run(ctx, nobody{}, l, a.server, a.vault)
	if v.Outcome.Enters() || v.Reason != latchkey.Cancelled {
		return v, err
	}
	return latchkey.Verdict{Outcome: latchkey.Denied, Reason: latchkey.ConditionFailed, Text: noCodeAsked}, nil
}

const noCodeAsked = "This machine asks for a code at remote logins, and this way of logging in asked for none. " +
	"sshd must be set to AuthenticationMethods publickey,keyboard-interactive."

// nobody is the screen of a login that cannot ask.
type nobody struct{}

func (nobody) Ask(context.Context, latchkey.Prompt) (latchkey.Answer, error) {
	return latchkey.Answer{}, logon.ErrCancelled
}
