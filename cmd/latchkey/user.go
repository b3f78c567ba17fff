package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"latchkey/internal/api"
	"latchkey/internal/apiclient"
)

func (p *program) user() *cobra.Command {
	return p.group("user", "Add, show, disable and delete users",
		p.userAdd(),
		verb("list", "List users", p.userList),
		verb("show USER", "Show a user", p.userShow),
		verb("disable USER", "Refuse a user's logons", p.userChange("disable", "disabled; machines refuse offline logons from their next contact")),
		verb("enable USER", "Let a disabled user log in again", p.userChange("enable", "enabled")),
		verb("unlock USER", "Forget a user's wrong answers", p.userChange("unlock", "unlocked")),
		verb("delete USER", "Delete a user for good", p.userDelete),
		p.userSetGroups())
}

func (p *program) userAdd() *cobra.Command {
	var groups []string
	c := verb("add NAME", "Add a user of the built-in directory", func(ctx context.Context, args []string) error {
		var u api.User
		if err := p.post(ctx, apiclient.Path("users"), api.AddUser{Name: args[0], Groups: groups}, &u, nil); err != nil {
			return err
		}
		return p.say(u, "%s: added", u.Name)
	})
	c.Flags().StringArrayVar(&groups, "group", nil, "a group that policies can name (repeatable)")
	return c
}

func (p *program) userSetGroups() *cobra.Command {
	var groups []string
	c := verb("set-groups USER", "Replace a user's groups; without --group he is in none", func(ctx context.Context, args []string) error {
		n := names{"user": args[0]}
		in := api.SetGroups{Groups: append([]string{}, groups...)}
		if err := p.do(ctx, http.MethodPut, apiclient.Path("users", args[0], "groups"), in, nil, n); err != nil {
			return err
		}
		return p.userSay(ctx, args[0], "groups set")
	})
	c.Flags().StringArrayVar(&groups, "group", nil, "a group (repeatable)")
	return c
}

func (p *program) userList(ctx context.Context, _ []string) error {
	all, err := all[api.User](ctx, p, apiclient.Path("users"), nil)
	if err != nil {
		return err
	}
	t := &table{head: []string{"NAME", "DISABLED", "GROUPS", "AUTHENTICATORS"}}
	for _, u := range all {
		t.add(u.Name, yesNo(u.Disabled), strings.Join(u.Groups, ", "), kindsOf(u))
	}
	return p.print(all, t.write)
}

func kindsOf(u api.User) string {
	var kinds []string
	for _, a := range u.Authenticators {
		kinds = append(kinds, string(a.Kind))
	}
	return strings.Join(kinds, ", ")
}

func (p *program) userShow(ctx context.Context, args []string) error {
	u, err := p.oneUser(ctx, args[0])
	if err != nil {
		return err
	}
	return p.print(u, func(w io.Writer) {
		t := &table{head: []string{"name", u.Name}}
		t.add("id", string(u.ID))
		t.add("directory", u.Directory)
		t.add("disabled", yesNo(u.Disabled))
		t.add("groups", strings.Join(u.Groups, ", "))
		t.write(w)
		fmt.Fprintln(w)
		authenticatorTable(u.Authenticators).write(w)
	})
}

func (p *program) oneUser(ctx context.Context, name string) (api.User, error) {
	var u api.User
	err := p.get(ctx, apiclient.Path("users", name), &u, names{"user": name})
	return u, err
}

func (p *program) userChange(do, done string) func(context.Context, []string) error {
	return func(ctx context.Context, args []string) error {
		if err := p.post(ctx, apiclient.Path("users", args[0], do), nil, nil, names{"user": args[0]}); err != nil {
			return err
		}
		return p.userSay(ctx, args[0], done)
	}
}

// userSay says what was done; scripts get the user as he is now.
func (p *program) userSay(ctx context.Context, name, done string) error {
	if !p.json {
		return p.say(none{}, "%s: %s", name, done)
	}
	u, err := p.oneUser(ctx, name)
	if err != nil {
		return err
	}
	return p.say(u, "")
}

func (p *program) userDelete(ctx context.Context, args []string) error {
	u, err := p.oneUser(ctx, args[0])
	if err != nil {
		return err
	}
	var on []api.Enrollment
	if err := p.enrollments(ctx, string(u.ID), "", &on); err != nil {
		return err
	}
	err = p.confirmed(fmt.Sprintf("This deletes user %s for good, with %d authenticators and offline logons on %d machines.", u.Name, len(u.Authenticators), len(on)))
	if err != nil {
		return err
	}
	if err := p.delete(ctx, apiclient.Path("users", string(u.ID)), names{"user": args[0]}); err != nil {
		return err
	}
	return p.say(none{}, "%s: deleted", u.Name)
}
