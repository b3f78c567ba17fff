package policy

import "latchkey"

// An Explanation is what one logon would meet with the server and without it.
type Explanation struct {
	Online, Offline Decision
	Rows            []ExplainedRow
}

// An ExplainedRow is one row of the outcome table, and whether it was the one
// that decided.
type ExplainedRow struct {
	Row             int
	State           string
	Online, Offline bool
}

// Explain judges both sets of facts by the same Decide that logons meet.
func Explain(online, offline Facts) Explanation {
	online.Offline, offline.Offline = false, true
	e := Explanation{Online: Decide(online), Offline: Decide(offline)}
	for _, r := range rows {
		e.add(r.number, r.state)
	}
	e.add(16, "anything else")
	return e
}

func (e *Explanation) add(number int, state string) {
	e.Rows = append(e.Rows, ExplainedRow{
		Row: number, State: state,
		Online: e.Online.Row == number, Offline: e.Offline.Row == number,
	})
}

// Clamped says where a machine of the class gets less than the policy gives.
// The result is never nil.
func Clamped(p latchkey.Policy, class latchkey.KeyClass) []string {
	out := []string{}
	if most := class.MaxOfflineDays(); p.Offline.Days != nil && *p.Offline.Days > most {
		out = append(out, "offline.days is held to the maximum of the machine's key class")
	}
	if class.Rank() < p.MinKeyClass.Rank() {
		out = append(out, "the machine's key class is below min_key_class: it holds nothing for offline logons")
	}
	return out
}
