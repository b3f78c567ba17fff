package store

import (
	"context"
	"sync/atomic"

	"latchkey"
)

type watchKey struct{}

// Watch returns a context for one command, and what tells whether any
// transaction under it was committed or may have been: several can belong to
// one command, and the last one's error says nothing of those before it.
func (db *DB) Watch(ctx context.Context) (watched context.Context, wrote func() bool) {
	var mark atomic.Bool
	return context.WithValue(ctx, watchKey{}, &mark), mark.Load
}

// written notes the end of a transaction for whoever watches.
func written(ctx context.Context, err error) error {
	mark, watched := ctx.Value(watchKey{}).(*atomic.Bool)
	if watched && (err == nil || latchkey.CodeOf(err) == latchkey.Unknown) {
		mark.Store(true)
	}
	return err
}
