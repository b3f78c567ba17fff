package stack

import (
	"fmt"
	"strings"
)

// Diff is the plan as a unified diff.
func (p Plan) Diff() string {
	var b strings.Builder
	for _, c := range p.Changes {
		from, to := c.File, c.File
		before, after := physical(c.Before), physical(c.After)
		if !c.Existed {
			from, before = "/dev/null", nil
		}
		if c.Remove {
			to, after = "/dev/null", nil
		}
		fmt.Fprintf(&b, "--- %s\n+++ %s\n%s", from, to, hunks(before, after))
	}
	return b.String()
}

// An edit is one line of a diff: ' ', '-' or '+'.
type edit struct {
	op   byte
	text string
}

const context = 3

func hunks(before, after []string) string {
	edits := compare(before, after)
	var b strings.Builder
	for i := 0; i < len(edits); {
		if edits[i].op == ' ' {
			i++
			continue
		}
		from, to := max(0, i-context), i
		for same := 0; to < len(edits) && same <= 2*context; to++ {
			same++
			if edits[to].op != ' ' {
				same = 0
			}
		}
		for to > i && trailing(edits[i:to]) > context {
			to--
		}
		b.WriteString(hunk(edits, from, to))
		i = to
	}
	return b.String()
}

func trailing(edits []edit) int {
	n := 0
	for i := len(edits) - 1; i >= 0 && edits[i].op == ' '; i-- {
		n++
	}
	return n
}

func hunk(edits []edit, from, to int) string {
	a, b := count(edits[:from], '+'), count(edits[:from], '-')
	na, nb := count(edits[from:to], '+'), count(edits[from:to], '-')
	var out strings.Builder
	fmt.Fprintf(&out, "@@ -%s +%s @@\n", span(a, na), span(b, nb))
	for _, e := range edits[from:to] {
		out.WriteByte(e.op)
		out.WriteString(e.text)
		if !strings.HasSuffix(e.text, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
	return out.String()
}

// count is how many lines there are that are not of the other side.
func count(edits []edit, not byte) int {
	n := 0
	for _, e := range edits {
		if e.op != not {
			n++
		}
	}
	return n
}

func span(before, n int) string {
	if n == 0 {
		return fmt.Sprintf("%d,0", before)
	}
	return fmt.Sprintf("%d,%d", before+1, n)
}

// compare finds the longest common lines; service files are short.
func compare(a, b []string) []edit {
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var edits []edit
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			edits = append(edits, edit{' ', a[i]})
			i, j = i+1, j+1
		case j == len(b) || (i < len(a) && common[i+1][j] >= common[i][j+1]):
			edits = append(edits, edit{'-', a[i]})
			i++
		default:
			edits = append(edits, edit{'+', b[j]})
			j++
		}
	}
	return edits
}
