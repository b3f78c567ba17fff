package manual

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A roff is a page that is being written (man(7)).
type roff struct{ strings.Builder }

var escapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "’", `\(cq`, "“", `\(lq`, "”", `\(rq`, "…", "...", "—", `\(em`, "·", `\(pc`)

// line writes text that roff takes for nothing else.
func (r *roff) line(text string) {
	text = escapes.Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	r.WriteString(text + "\n")
}

func (r *roff) macro(name string, args ...string) {
	r.WriteString("." + name)
	for _, a := range args {
		r.WriteString(` "` + strings.ReplaceAll(escapes.Replace(a), `"`, `\(dq`) + `"`)
	}
	r.WriteByte('\n')
}

// literal writes lines as they are, such as a list in columns.
func (r *roff) literal(text string) {
	r.macro("nf")
	for l := range strings.Lines(text) {
		r.line(strings.TrimRight(l, "\n"))
	}
	r.macro("fi")
}

// page is the page of the program, or of one of its nouns with all its verbs.
func page(root, c *cobra.Command, version string) []byte {
	r := &roff{}
	r.WriteString(".\\\" Written by \"make docs\" from the program's commands.\n")
	r.macro("TH", strings.ToUpper(pageName(c)), Section, "", "Latchkey "+version, "Latchkey")
	r.macro("SH", "NAME")
	r.line(pageName(c) + " - " + c.Short)
	r.macro("SH", "SYNOPSIS")
	r.synopsis(c)
	if c.Long != "" {
		r.macro("SH", "DESCRIPTION")
		r.literal(c.Long)
	}
	r.commands(root, c)
	r.macro("SH", "OPTIONS")
	r.flags(c.LocalNonPersistentFlags())
	r.flags(c.PersistentFlags())
	if c != root {
		r.flags(c.InheritedFlags())
	}
	r.also(root, c)
	return []byte(r.String())
}

func (r *roff) synopsis(c *cobra.Command) {
	all := leaves(c)
	for i, l := range all {
		if i > 0 {
			r.macro("br")
		}
		r.line(useLine(l))
	}
}

// useLine is a command as it is typed. cobra's own says more of a command once
// it was parsed.
func useLine(c *cobra.Command) string {
	line := c.CommandPath() + strings.TrimPrefix(c.Use, c.Name())
	if c.LocalNonPersistentFlags().HasAvailableFlags() {
		line += " [flags]"
	}
	return line
}

// leaves are the commands at and below c that do something.
func leaves(c *cobra.Command) []*cobra.Command {
	subs := offered(c)
	if len(subs) == 0 {
		return []*cobra.Command{c}
	}
	var out []*cobra.Command
	for _, s := range subs {
		out = append(out, leaves(s)...)
	}
	return out
}

func (r *roff) commands(root, c *cobra.Command) {
	if len(offered(c)) == 0 {
		return
	}
	r.macro("SH", "COMMANDS")
	if c == root {
		for _, s := range offered(c) {
			r.macro("TP")
			r.line(s.CommandPath())
			r.line(s.Short + ". See " + pageName(s) + "(" + Section + ").")
		}
		return
	}
	for _, l := range leaves(c) {
		r.macro("SS", useLine(l))
		r.line(l.Short + ".")
		if l.Long != "" {
			r.literal(l.Long)
		}
		r.flags(l.LocalNonPersistentFlags())
	}
}

func (r *roff) flags(set *pflag.FlagSet) {
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		kind, usage := pflag.UnquoteUsage(f)
		if kind != "" {
			name += " " + kind
		}
		r.macro("TP")
		r.line(name)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" {
			usage += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		r.line(usage)
	})
}

func (r *roff) also(root, c *cobra.Command) {
	r.macro("SH", "SEE ALSO")
	var names []string
	for _, s := range append([]*cobra.Command{root}, offered(root)...) {
		if s != c {
			names = append(names, pageName(s)+"("+Section+")")
		}
	}
	r.line(strings.Join(names, ", "))
}
