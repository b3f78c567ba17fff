package vault_test

import (
	"latchkey/internal/api"
)

// merge runs one sync with the server's answer.
func (w *world) merge(change func(*api.SyncResponse)) []api.News {
	w.t.Helper()
	req, err := w.v.Pending(100)
	must(w.t, err)
	req.Nonce = "s"
	resp := api.SyncResponse{Health: w.health("s", w.wall)}
	if n := len(req.Events); n > 0 {
		resp.Acked = req.Events[n-1].Seq
	}
	change(&resp)
	news, err := w.v.Merge(req, resp)
	must(w.t, err)
	return news
}
