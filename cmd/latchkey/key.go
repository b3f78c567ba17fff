package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/store"
)

func (p *program) keys() *cobra.Command {
	return p.group("key", "The server's signing keys and its master key; on the server's own machine",
		p.keyList(), p.keyAnnounce(), p.keySwitch(), p.keyRetire(), p.keyRewrap())
}

// keyVerb is a verb that works on an existing deployment's database.
func keyVerb(use, short string, do func(ctx context.Context, db *store.DB, args []string) error) *cobra.Command {
	var d dataFlags
	c := verb(use, short, func(ctx context.Context, args []string) error {
		db, err := d.openExisting(ctx)
		if err != nil {
			return err
		}
		defer db.Close()
		return do(ctx, db, args)
	})
	d.add(c)
	return c
}

func (p *program) keyList() *cobra.Command {
	return keyVerb("list", "List the signing keys", func(ctx context.Context, db *store.DB, _ []string) error {
		all, err := db.SigningKeys(ctx)
		if err != nil {
			return err
		}
		t := &table{head: []string{"ID", "STATE", "MADE", "IN USE FROM", "HOLDS UNTIL", "MACHINES UNAWARE"}}
		for _, k := range all {
			t.add(k.ID, k.State, when(k.MadeAt), whenever(k.CurrentFrom), whenever(k.TrustedUntil), fmt.Sprint(k.Unaware))
		}
		return p.print(all, t.write)
	})
}

// rotated is the JSON of the verbs that change the ring.
type rotated struct {
	Key string `json:"key"`
}

func keyEvent(kind latchkey.EventKind) latchkey.Event {
	return latchkey.Event{Time: now(), Kind: kind, Actor: "console", Detail: map[string]string{}}
}

func (p *program) keyAnnounce() *cobra.Command {
	return keyVerb("announce", "Make the next signing key and tell machines of it; also while the server runs",
		func(ctx context.Context, db *store.DB, _ []string) error {
			id, err := db.AnnounceKey(ctx, keyEvent(latchkey.KeyAnnounced))
			if err != nil {
				return err
			}
			return p.say(rotated{id}, "%s: announced; machines learn of it at their next contact, then: latchkey key switch", id)
		})
}

func (p *program) keySwitch() *cobra.Command {
	var hurry bool
	c := keyVerb("switch", "Sign with the announced key from now on", func(ctx context.Context, db *store.DB, _ []string) error {
		late, err := unaware(ctx, db, store.KeyAnnounced)
		if err != nil {
			return err
		}
		if late > 0 {
			if err := p.confirmed(fmt.Sprintf("%d machines have had no contact since the key was announced: until their next one they decide alone.", late)); err != nil {
				return err
			}
		}
		id, err := db.SwitchKey(ctx, hurry, keyEvent(latchkey.KeySwitched))
		if err != nil {
			return err
		}
		return p.say(rotated{id}, "%s: signs from now on; the one before stays believed until it is retired", id)
	})
	c.Flags().BoolVar(&hurry, "now", false, "do not wait until every server tells machines of the key")
	return c
}

// unaware counts the machines that have not heard of the key in a state.
func unaware(ctx context.Context, db *store.DB, state string) (int, error) {
	all, err := db.SigningKeys(ctx)
	for _, k := range all {
		if k.State == state {
			return k.Unaware, err
		}
	}
	return 0, err
}

func (p *program) keyRetire() *cobra.Command {
	var compromised bool
	c := keyVerb("retire ID", "Have machines believe a key no more, and destroy it", func(ctx context.Context, db *store.DB, args []string) error {
		late, err := unaware(ctx, db, store.KeyCurrent)
		if err != nil {
			return err
		}
		plan := []string{fmt.Sprintf("This destroys key %s: machines believe it no more from their next contact.", args[0]),
			"Make a backup when it is done: older ones cannot serve these machines."}
		if late > 0 {
			plan = append(plan, fmt.Sprintf("%d machines do not know the key in use yet: they must enroll anew.", late))
		}
		if err := p.confirmed(plan...); err != nil {
			return err
		}
		if err := db.RetireKey(ctx, args[0], compromised, keyEvent(latchkey.KeyRetired)); err != nil {
			return named(err, names{"key": args[0]})
		}
		return p.say(rotated{args[0]}, "%s: retired; make a backup now: older ones cannot serve these machines", args[0])
	})
	c.Flags().BoolVar(&compromised, "compromised", false, "although what it signed has not ended: somebody else may have it")
	return c
}

func (p *program) keyRewrap() *cobra.Command {
	var d dataFlags
	c := verb("rewrap", "Make a new master key and wrap every secret under it; the servers must not run", func(ctx context.Context, _ []string) error {
		if err := d.check(); err != nil {
			return err
		}
		if err := p.confirmed("This makes a new master key; backups from before need the old one, which is set aside beside it."); err != nil {
			return err
		}
		held, err := d.hold()
		if err != nil {
			return err
		}
		defer held.Close()
		old, rows, err := store.Rewrap(ctx, d.config(), keyEvent(latchkey.MasterKeyChanged))
		if err != nil {
			return err
		}
		return p.say(struct {
			Rows int    `json:"rows"`
			Old  string `json:"old_key"`
		}{rows, old}, "%d secrets wrapped under a new master key; the old one is %s: keep it apart, with the backups from before", rows, old)
	})
	d.add(c)
	return c
}

// hold keeps every server away from a data directory, also one that stands
// still. Where it is not there, whoever opens it says so.
func (d *dataFlags) hold() (io.Closer, error) {
	if d.database != "" {
		return io.NopCloser(nil), nil
	}
	held, err := alone(d.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return io.NopCloser(nil), nil
	case latchkey.CodeOf(err) == latchkey.Busy:
		return nil, latchkey.Errorf(latchkey.Busy, "a server is using the database in %s", d.dir).WithHint("stop it first")
	}
	return held, err
}

// ringEvery is how often a running server looks whether its keys have changed.
const ringEvery = 30 * time.Second

// followKeys keeps the signing keys up to date until ctx ends, and says that
// this server holds them. In the same round old answers are forgotten. A server
// whose tables a newer one has taken over ends.
func (s *serving) followKeys(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(ringEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			err := s.db.Attend(ctx, s.holder, 2*ringEvery)
			if errors.Is(err, store.ErrOvertaken) {
				s.end(err)
				return
			}
			err = errors.Join(err, s.db.RefreshRing(ctx))
			if err != nil && ctx.Err() == nil {
				log.Error("the signing keys are as they were", "error", err)
			}
			if err := s.db.ForgetRequests(ctx); err != nil && ctx.Err() == nil {
				log.Error("answers that are past their time are still kept", "error", err)
			}
		}
	}
}
