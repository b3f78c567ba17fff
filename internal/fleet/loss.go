package fleet

import (
	"fmt"
	"slices"

	"latchkey"
	"latchkey/internal/api"
)

// mostNumber is above any number of events, or of writes to a ledger, that a
// machine comes to: one each millisecond for thirty years.
const mostNumber = 1 << 40

// numbers drops those that no machine reaches: they would hide all that comes
// after them.
func (j *judge) numbers(in api.SyncRequest) api.SyncRequest {
	if in.Generation > mostNumber {
		j.suspect("the machine counts further than a machine can", "generation", fmt.Sprint(in.Generation))
		in.Generation = j.ledger.Generation
	}
	if in.Lost > mostNumber {
		j.suspect("the machine counts further than a machine can", "lost", fmt.Sprint(in.Lost))
		in.Lost = j.ledger.Lost
	}
	wild := func(r api.Report) bool { return r.Seq > mostNumber }
	if i := slices.IndexFunc(in.Events, wild); i >= 0 {
		j.suspect("the machine counts further than a machine can", "seq", fmt.Sprint(in.Events[i].Seq))
		in.Events = slices.DeleteFunc(slices.Clone(in.Events), wild)
	}
	return in
}

// loss takes how many events a full ring has overwritten. A ledger that took the
// place of a lost one begins to count anew.
func (j *judge) loss(lost uint64) {
	j.lost, j.merger.Lost = lost, lost
	if lost >= j.ledger.Lost {
		j.lost = lost - j.ledger.Lost
	}
	if j.lost == 0 || !j.take(j.incidents, nil) {
		return
	}
	j.lossTold = true
	j.merger.Incident = append(j.merger.Incident, latchkey.Event{
		Time: j.now, Kind: latchkey.ReportsLost, Machine: j.ledger.Machine.ID, Host: j.ledger.Machine.Name,
		Detail: map[string]string{"lost": fmt.Sprint(j.lost)},
	})
}
