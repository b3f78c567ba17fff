package stack

import (
	"slices"
	"strconv"
	"strings"
)

// bystanders are modules that look at circumstances and at no secret: having
// passed one is no first factor.
var bystanders = []string{
	"pam_access.so", "pam_cap.so", "pam_deny.so", "pam_echo.so", "pam_env.so", "pam_faildelay.so", "pam_faillock.so",
	"pam_gnome_keyring.so", "pam_group.so", "pam_issue.so", "pam_keyinit.so", "pam_kwallet.so", "pam_kwallet5.so",
	"pam_lastlog.so", "pam_limits.so", "pam_listfile.so", "pam_localuser.so", "pam_loginuid.so", "pam_mail.so",
	"pam_motd.so", "pam_nologin.so", "pam_permit.so", "pam_rootok.so", "pam_securetty.so", "pam_selinux.so",
	"pam_sepermit.so", "pam_shells.so", "pam_succeed_if.so", "pam_systemd.so", "pam_tally.so", "pam_tally2.so",
	"pam_time.so", "pam_umask.so", "pam_usertype.so", "pam_warn.so", "pam_wheel.so", "pam_xauth.so",
	"pam_rhosts.so", "pam_timestamp.so", "pam_debug.so",
}

// factor reports whether a module may check a first factor. A module that
// nobody here knows may.
func (l Line) factor() bool {
	return l.kind == module && !l.Ours() && !slices.Contains(bystanders, l.Name())
}

// results lists what a line can return, the likeliest first. Whatever is not
// known for certain can return everything.
func (l Line) results(phase Phase, asRoot bool) []Code {
	switch {
	case l.kind != module:
		return []Code{PermDenied}
	case l.splits() && phase == Auth:
		return []Code{CredUnavail, AuthErr, ModuleUnknown}
	case l.Ours():
		return ours
	}
	switch l.Name() {
	case "pam_deny.so":
		return []Code{AuthErr, PermDenied, ModuleUnknown}
	case "pam_permit.so":
		return []Code{Success, ModuleUnknown}
	case "pam_rootok.so":
		if !asRoot {
			return []Code{AuthErr, ModuleUnknown}
		}
	}
	return everything
}

// everything that a module can end with; "incomplete" only pauses it.
var everything = func() []Code {
	first := []Code{Success, AuthErr, 10, AuthinfoUnavail, Ignored, NewAuthtokReqd}
	for c := range Code(codes) {
		if c != incomplete && !slices.Contains(first, c) {
			first = append(first, c)
		}
	}
	return first
}()

// ours are the results of our module: it never says "ignore me" or "new
// password wanted". It does not have all of the others today; a stack that
// would be wrong with one of them is wrong.
var ours = slices.DeleteFunc(slices.Clone(everything), func(c Code) bool { return c == Ignored || c == NewAuthtokReqd })

// badArgument returns the first argument of our module that it would not
// understand; it then denies everybody.
func (l Line) badArgument() string {
	for _, a := range l.Args {
		if !validArgument(a) {
			return a
		}
	}
	return ""
}

func validArgument(a string) bool {
	name, value, _ := strings.Cut(a, "=")
	switch name {
	case "debug":
		return a == "debug"
	case "timeout":
		return between(value, 1, 110)
	case "split":
		return between(value, 4, 16)
	case "rescue_group":
		return value != ""
	case "socket":
		return strings.HasPrefix(value, "/")
	}
	return false
}

func between(s string, low, high int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= low && n <= high && strings.Trim(s, "0123456789") == ""
}

// argument returns the value of an argument "name=value".
func (l Line) argument(name string) string {
	for _, a := range l.Args {
		if v, ok := strings.CutPrefix(a, name+"="); ok {
			return v
		}
	}
	return ""
}
