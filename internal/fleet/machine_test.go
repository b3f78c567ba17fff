package fleet_test

import (
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
)

func TestMachineSettingsAreChangedOneByOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("pc-1")
	until, past, never := api.End{At: w.now().Add(day)}, api.End{At: w.now()}, api.End{Never: true}
	mode := func(m latchkey.Mode) *latchkey.Mode { return &m }
	text := func(s string) *string { return &s }
	yes := true
	skip, wild := latchkey.Skip, latchkey.Fallback("maybe")
	for _, step := range []struct {
		name   string
		change api.MachineChange
		want   latchkey.Mode // after it
		ok     bool
	}{
		{"enforced", api.MachineChange{Mode: mode(latchkey.Enforce)}, latchkey.Enforce, true},
		{"nothing", api.MachineChange{}, latchkey.Enforce, true},
		{"exempt without a reason", api.MachineChange{Mode: mode(latchkey.Exempt), ExemptUntil: &until}, latchkey.Enforce, false},
		{"exempt until now", api.MachineChange{Mode: mode(latchkey.Exempt), Reason: text("kiosk"), ExemptUntil: &past}, latchkey.Enforce, false},
		{"exempt without an end", api.MachineChange{Mode: mode(latchkey.Exempt), Reason: text("kiosk")}, latchkey.Enforce, false},
		{"exempt until the zero time", api.MachineChange{Mode: mode(latchkey.Exempt), Reason: text("kiosk"), ExemptUntil: &api.End{}}, latchkey.Enforce, false},
		{"an end without exemption", api.MachineChange{ExemptUntil: &never}, latchkey.Enforce, false},
		{"exempt for ever, as asked", api.MachineChange{Mode: mode(latchkey.Exempt), ExemptReason: text("kiosk"), ExemptUntil: &never}, latchkey.Exempt, true},
		{"two reasons", api.MachineChange{Reason: text("a"), ExemptReason: text("b")}, latchkey.Exempt, false},
		{"exempt", api.MachineChange{Mode: mode(latchkey.Exempt), Reason: text("kiosk"), ExemptUntil: &until}, latchkey.Exempt, true},
		{"a shorter reason", api.MachineChange{Reason: text("k")}, latchkey.Exempt, true},
		{"an endless reason", api.MachineChange{Reason: text(strings.Repeat("k", 501))}, latchkey.Exempt, false},
		{"default", api.MachineChange{Mode: mode(latchkey.Default)}, latchkey.Default, true},
		{"a reason without exemption", api.MachineChange{Reason: text("why")}, latchkey.Default, false},
		{"another mode", api.MachineChange{Mode: mode("off")}, latchkey.Default, false},
		{"no mode", api.MachineChange{Mode: mode("")}, latchkey.Default, false},
		{"unknown users", api.MachineChange{UnknownUsers: &wild}, latchkey.Default, false},
		{"unknown users enter", api.MachineChange{UnknownUsers: &skip, TrustEnforced: &yes}, latchkey.Default, true},
	} {
		got, err := w.fleet.Change(w.ctx, "admin", "PC-1", step.change)
		if (err == nil) != step.ok || err != nil && latchkey.CodeOf(err) != latchkey.Invalid {
			t.Errorf("%s: %v", step.name, err)
		}
		now, err := w.fleet.Machine(w.ctx, "pc-1")
		w.must(err)
		if now.Mode != step.want || step.ok && got.Mode != now.Mode {
			t.Errorf("%s: mode %s", step.name, now.Mode)
		}
	}
	m.sync()
	if s := m.settings.Settings; s.UnknownUsers != latchkey.Skip || !s.TrustOnEnforced || !s.MatchLocal || s.ExemptReason != "" {
		t.Errorf("the machine is told %+v", s)
	}
}

func TestAMachineIsFoundByNameAndIdUntilItIsRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("pc-1")
	for _, name := range []string{"pc-1", "Pc-1", string(m.id)} {
		if got, err := w.fleet.Machine(w.ctx, name); err != nil || got.ID != m.id {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := w.join(string(m.id), w.token(1)); latchkey.CodeOf(err) != latchkey.Invalid {
		t.Errorf("another takes its id for a name: %v", err)
	}
	w.pass(time.Minute)
	m.sync()
	if got, _ := w.fleet.Machine(w.ctx, "pc-1"); got.LastContact == nil || !got.LastContact.Equal(w.now()) || got.KeyClass != latchkey.Software {
		t.Errorf("listed as %+v", got)
	}
	w.must(w.fleet.Remove(w.ctx, "admin", "pc-1"))
	if all, _, err := w.fleet.Machines(w.ctx, latchkey.Page{}); err != nil || len(all) != 0 {
		t.Errorf("still listed: %v, %v", all, err)
	}
	for what, err := range map[string]error{
		"shown":    second(w.fleet.Machine(w.ctx, "pc-1")),
		"removed":  w.fleet.Remove(w.ctx, "admin", "pc-1"),
		"approved": w.fleet.Approve(w.ctx, "admin", "pc-1"),
		"changed":  second(w.fleet.Change(w.ctx, "admin", "nowhere", api.MachineChange{})),
	} {
		if latchkey.CodeOf(err) != latchkey.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.machine("pc-1") // the name is free
}

func second[T any](_ T, err error) error { return err }
