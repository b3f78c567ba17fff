package stack

import (
	"fmt"
	"path"
	"strings"
)

// PolkitDoor looks for rules that answer for a person. The second value is
// false where the machine has no polkit.
func (t Tree) PolkitDoor() (Door, bool) {
	d := Door{Name: "polkit rules", Kind: "polkit", State: Protected}
	if !t.exists("/usr/share/polkit-1") && !t.exists("/etc/polkit-1") {
		return d, false
	}
	for _, dir := range []string{"/etc/polkit-1/rules.d", "/usr/local/share/polkit-1/rules.d", "/usr/share/polkit-1/rules.d", "/run/polkit-1/rules.d"} {
		names, err := t.names(dir)
		if err != nil { // Debian keeps it from everybody but polkitd and root
			d.State = Wrong
			d.Reasons = append(d.Reasons, err.Error())
			d.Next = "run doctor as root"
			continue
		}
		for _, n := range names {
			if strings.HasSuffix(n, ".rules") {
				t.polkitRules(&d, path.Join(dir, n))
			}
		}
	}
	return d, true
}

// polkitRules reads one file of rules as text: what it answers for whom is
// for a person to judge, where it could let somebody act unasked.
func (t Tree) polkitRules(d *Door, file string) {
	data, err := t.read(file)
	if err != nil {
		d.State = Wrong
		d.Reasons = append(d.Reasons, err.Error())
		return
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		code, _, _ := strings.Cut(line, "//")
		switch {
		case !strings.Contains(code, "polkit.Result."):
		case strings.Contains(code, "polkit.Result.YES") && !strings.HasPrefix(file, "/usr/share/"):
			d.State = Open
			d.Reasons = append(d.Reasons, fmt.Sprintf("%s:%d lets people act without asking (Result.YES)", file, n))
			d.Next = "look through the rule and answer AUTH_ADMIN or AUTH_SELF instead of YES"
		case strings.Contains(code, "polkit.Result.YES"):
			d.Notes = append(d.Notes, fmt.Sprintf("%s:%d lets some act without asking (Result.YES, from a package)", file, n))
		case strings.Contains(code, "_KEEP"):
			d.Notes = append(d.Notes, fmt.Sprintf("%s:%d remembers an answer for some minutes (KEEP)", file, n))
		}
	}
}
