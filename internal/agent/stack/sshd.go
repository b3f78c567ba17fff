package stack

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	sshdConfig = "/etc/ssh/sshd_config"
	sshdDropIn = "/etc/ssh/sshd_config.d/00-latchkey.conf"
)

// A block is what sshd's configuration says for the connections that a Match
// line chooses, "" for all. Keywords are in lower case; the first value of
// each counts, as in sshd_config(5).
type block struct {
	match  string
	values map[string]string
}

// An SSHD is sshd's configuration.
type SSHD struct {
	global block
	blocks []block // in order
}

// LoadSSHD reads sshd's configuration with its includes.
func (t Tree) LoadSSHD() (SSHD, error) {
	c := sshdReader{tree: t, conf: SSHD{global: block{values: map[string]string{}}}}
	err := c.file(sshdConfig, 0)
	return c.conf, err
}

type sshdReader struct {
	tree    Tree
	conf    SSHD
	current int // the block that lines go to, from 1; 0 is the global one
}

func (c *sshdReader) file(name string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: includes more than %d files deep", name, maxDepth)
	}
	data, err := c.tree.read(name)
	if err != nil {
		return err
	}
	before := c.current
	defer func() { c.current = before }() // a Match ends with its file
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		key, value := sshdLine(line)
		switch key {
		case "":
		case "include":
			err = c.include(value, depth)
		case "match":
			c.match(value)
		default:
			c.set(key, value)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	return nil
}

func sshdLine(line string) (key, value string) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", ""
	}
	i := strings.IndexAny(line, " \t=")
	if i < 0 {
		return strings.ToLower(line), ""
	}
	value = strings.TrimLeft(line[i:], " \t")
	value = strings.TrimSpace(strings.TrimPrefix(value, "="))
	if j := strings.Index(value, " #"); j >= 0 {
		value = strings.TrimSpace(value[:j])
	}
	key = strings.ToLower(line[:i])
	if key == "challengeresponseauthentication" || key == "skeyauthentication" {
		key = "kbdinteractiveauthentication"
	}
	return key, strings.ReplaceAll(value, `"`, "")
}

func (c *sshdReader) match(value string) {
	if strings.EqualFold(value, "all") {
		c.current = 0
		return
	}
	c.conf.blocks = append(c.conf.blocks, block{match: value, values: map[string]string{}})
	c.current = len(c.conf.blocks)
}

func (c *sshdReader) set(key, value string) {
	values := c.conf.global.values
	if c.current > 0 {
		values = c.conf.blocks[c.current-1].values
	}
	if _, there := values[key]; !there {
		values[key] = value
	}
}

func (c *sshdReader) include(value string, depth int) error {
	for _, pattern := range strings.Fields(value) {
		if !path.IsAbs(pattern) {
			pattern = path.Join("/etc/ssh", pattern)
		}
		found, err := c.tree.glob(pattern)
		if err != nil {
			return err
		}
		for _, f := range found {
			if err := c.file(f, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// glob lists the files of the machine that match, sorted, planned ones
// included.
func (t Tree) glob(pattern string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(t.Root, pattern))
	if err != nil {
		return nil, err
	}
	for i, f := range found {
		rel, err := filepath.Rel(t.Root, f)
		if err != nil {
			return nil, err
		}
		found[i] = "/" + filepath.ToSlash(rel)
	}
	for name := range t.over {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// Take replaces the global values by what "sshd -T" printed: sshd's own word
// for them, defaults included.
func (s *SSHD) Take(printed string) {
	values := map[string]string{}
	for line := range strings.Lines(printed) {
		key, value := sshdLine(line)
		if key != "" {
			values[key] = value
		}
	}
	s.global.values = values
}

// defaults are those of sshd_config(5) that matter here.
var sshdDefaults = map[string]string{
	"passwordauthentication": "yes", "kbdinteractiveauthentication": "yes", "pubkeyauthentication": "yes", "usepam": "no",
	"hostbasedauthentication": "no", "gssapiauthentication": "no", "permitemptypasswords": "no",
	"permitrootlogin": "prohibit-password", "authenticationmethods": "any", "pamservicename": "sshd",
}

// get is the value for connections of block b.
func (s SSHD) get(b block, key string) string {
	for _, values := range []map[string]string{b.values, s.global.values, sshdDefaults} {
		if v, ok := values[key]; ok {
			return v
		}
	}
	return ""
}

func (s SSHD) on(b block, key string) bool { return strings.EqualFold(s.get(b, key), "yes") }

// Doors judges the global part and each Match block by itself. account says
// whether the account phase of sshd's PAM service refuses who was not asked.
func (s SSHD) Doors(account bool) []Door {
	doors := []Door{s.door(s.global, account)}
	for _, b := range s.blocks {
		if s.matters(b) {
			doors = append(doors, s.door(b, account))
		}
	}
	return doors
}

func (s SSHD) matters(b block) bool {
	for key := range sshdDefaults {
		if _, ok := b.values[key]; ok {
			return true
		}
	}
	return false
}

func (s SSHD) door(b block, account bool) Door {
	d := Door{Name: "sshd", Kind: "sshd", State: Protected}
	if b.match != "" {
		d.Name = "sshd, Match " + b.match
	}
	wrong := func(state State, format string, args ...any) {
		if d.State == Protected || state == Open {
			d.State = state
		}
		d.Reasons = append(d.Reasons, fmt.Sprintf(format, args...))
	}
	if !s.on(b, "usepam") {
		wrong(Open, "UsePAM no: sshd asks no PAM module")
		d.Next = "set UsePAM yes in " + sshdConfig
		return d
	}
	if s.on(b, "permitemptypasswords") {
		wrong(Wrong, "PermitEmptyPasswords yes")
	}
	for _, list := range s.methods(b) {
		switch state, why := s.judge(b, list, account); {
		case state != Protected:
			wrong(state, "%s", why)
		case why != "":
			d.Notes = append(d.Notes, why)
		}
	}
	if d.State != Protected {
		d.Next = "latchkey-agent pam enable sshd"
		if b.match != "" {
			d.Next = "set AuthenticationMethods publickey,keyboard-interactive:pam keyboard-interactive:pam in this Match block"
		}
	}
	if v := s.get(b, "permitrootlogin"); v != "no" {
		d.Notes = append(d.Notes, "PermitRootLogin "+v)
	}
	return d
}

// methods are the lists of methods of which one suffices. Without
// AuthenticationMethods each method that is on is a list of its own.
func (s SSHD) methods(b block) []string {
	if v := s.get(b, "authenticationmethods"); !strings.EqualFold(v, "any") && v != "" {
		return strings.Fields(v)
	}
	var lists []string
	for _, m := range []struct{ key, method string }{
		{"pubkeyauthentication", "publickey"}, {"passwordauthentication", "password"}, {"kbdinteractiveauthentication", "keyboard-interactive"},
		{"hostbasedauthentication", "hostbased"}, {"gssapiauthentication", "gssapi-with-mic"},
	} {
		if s.on(b, m.key) {
			lists = append(lists, m.method)
		}
	}
	return lists
}

// judge says what one list of methods is worth, and what to know about it.
func (s SSHD) judge(b block, list string, account bool) (State, string) {
	methods := strings.Split(list, ",")
	has := func(name string) bool {
		return slices.ContainsFunc(methods, func(m string) bool { m, _, _ = strings.Cut(m, ":"); return m == name })
	}
	switch {
	case has("keyboard-interactive"):
		if !s.on(b, "kbdinteractiveauthentication") {
			return Wrong, "AuthenticationMethods " + list + " cannot be met: KbdInteractiveAuthentication is off, nobody gets in by it"
		}
		return Protected, ""
	case has("password"):
		return Protected, "method " + list + " has one field and cannot show the code's prompt: people use keyboard-interactive (or split=N, password and code in one)"
	case account:
		return Protected, "method " + list + " alone is refused in the account phase: to ask these people instead, set AuthenticationMethods publickey,keyboard-interactive:pam"
	default:
		return Open, "method " + list + " suffices: the auth phase of PAM is skipped, and with it the factor"
	}
}
