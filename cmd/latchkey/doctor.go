package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"latchkey"
	"latchkey/internal/apiclient"
	"latchkey/internal/httpd"
)

// clockTolerance is how far this machine and the server may differ: more than
// one TOTP step either way and codes begin to fail.
const clockTolerance = 30 * time.Second

func (p *program) doctor() *cobra.Command {
	return verb("doctor", "Check the way to the server: address, CA, token, clock", p.examine)
}

// A finding is one line of doctor.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

func (p *program) examine(ctx context.Context, _ []string) error {
	var about httpd.About
	began := now()
	err := p.get(ctx, apiclient.Path("server"), &about, nil)
	if _, ok := errors.AsType[*usageError](err); ok {
		return err
	}
	found := findings(err, about, began, now())
	if perr := p.print(found, func(w io.Writer) {
		t := &table{head: []string{"CHECK", "OK", "DETAIL"}}
		for _, f := range found {
			t.add(f.Check, yesNo(f.OK), f.Detail)
		}
		t.write(w)
	}); perr != nil {
		return perr
	}
	if err != nil {
		return err
	}
	for _, f := range found {
		if !f.OK {
			return latchkey.Errorf(latchkey.Conflict, "%s: %s", f.Check, f.Detail)
		}
	}
	return nil
}

func findings(err error, about httpd.About, began, ended time.Time) []finding {
	if errors.Is(err, apiclient.ErrUnreachable) {
		return []finding{{"server", false, err.Error()}}
	}
	out := []finding{{"server", true, "answers, and its certificate is from the CA"}}
	if err != nil {
		return append(out, finding{"token", false, err.Error()})
	}
	out = append(out, finding{"token", true, "accepted"})
	out = append(out, finding{"version", true, about.Version + ", deployment " + about.Deployment})
	middle := began.Add(ended.Sub(began) / 2)
	off := about.Time.Sub(middle).Round(time.Second)
	return append(out, finding{"clock", off.Abs() <= clockTolerance, fmt.Sprintf("the server's clock is %v from this machine's", off)})
}
