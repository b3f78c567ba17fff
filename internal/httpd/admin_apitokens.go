package httpd

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/seal"
)

// tokenSize is the randomness of an administrator's token in bytes.
const tokenSize = 32

// maxLabel is the most bytes of what a token is called.
const maxLabel = 100

// NewAdminToken returns a token and the hash that is stored of it.
func NewAdminToken() (text string, hash []byte, err error) {
	secret, err := seal.Token(rand.Reader, tokenSize)
	return TokenPrefix + secret, seal.HashToken(TokenPrefix + secret), err
}

type inTokens struct{ Paged }

type inTokenID struct {
	ID string `path:"id"`
}

type inCreateAPIToken struct{ Body api.CreateAPIToken }

func apiTokens(a huma.API, d Doorman, now func() time.Time) {
	list(a, "/api/v1/tokens", "List your API tokens; as owner and auditor those of all", 1,
		func(ctx context.Context, _ *inTokens, p latchkey.Page) ([]api.APIToken, []string, error) {
			all, err := d.Tokens(ctx, ownerOf(ctx, latchkey.Owner, latchkey.Auditor))
			out := make([]api.APIToken, 0, len(all))
			for _, k := range all {
				out = append(out, shownToken(k))
			}
			return cutFrom(out, p, err, func(k api.APIToken) string { return k.ID })
		})
	ask(a, http.MethodPost, "/api/v1/tokens", "Create an API token for yourself; it is in this answer only", http.StatusCreated,
		func(ctx context.Context, in *inCreateAPIToken) (api.NewAPIToken, error) {
			return createToken(ctx, d, in.Body, now())
		})
	tell(a, http.MethodDelete, "/api/v1/tokens/{id}", "Revoke an API token of yours; as owner of anybody",
		func(ctx context.Context, in *inTokenID) error {
			e := latchkey.Event{Time: now(), Kind: latchkey.TokenRevoked, Actor: actor(ctx), Detail: map[string]string{"token": in.ID}}
			return d.RevokeToken(ctx, in.ID, ownerOf(ctx, latchkey.Owner), e)
		})
}

// ownerOf is whose tokens the caller reaches: with one of the roles those of
// all ("").
func ownerOf(ctx context.Context, everybody ...latchkey.Role) string {
	who := callerOf(ctx).token.Admin
	if slices.Contains(everybody, who.Role) {
		return ""
	}
	return who.ID
}

// createToken makes a token that is worth no more than the one it is asked
// with, in what it may and for how long.
func createToken(ctx context.Context, d Doorman, in api.CreateAPIToken, now time.Time) (api.NewAPIToken, error) {
	own := callerOf(ctx).token
	k := latchkey.APIToken{Admin: own.Admin, Label: in.Label}
	var err error
	if k.Scopes, err = latchkey.NamedScopes(in.Scopes); err != nil {
		return api.NewAPIToken{}, err
	}
	if in.ExpiresAt != nil {
		k.ExpiresAt = in.ExpiresAt.UTC().Truncate(time.Second)
	}
	if err := lesser(k, own, now); err != nil {
		return api.NewAPIToken{}, err
	}
	text, hash, err := NewAdminToken()
	if err != nil {
		return api.NewAPIToken{}, err
	}
	k.CreatedAt = now
	e := latchkey.Event{Time: now, Kind: latchkey.TokenCreated, Actor: own.Admin.Name, Detail: map[string]string{
		"label": k.Label, "scopes": strings.Join(in.Scopes, " "), "from": own.ID,
	}}
	if k.ID, err = d.CreateToken(ctx, hash, k, e); err != nil {
		return api.NewAPIToken{}, err
	}
	return api.NewAPIToken{APIToken: shownToken(k), Token: text}, nil
}

func lesser(k, own latchkey.APIToken, now time.Time) error {
	if err := latchkey.CheckLabel("label", k.Label, maxLabel); err != nil {
		return err
	}
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now) {
		return latchkey.Errorf(latchkey.Invalid, "the token would end before it begins")
	}
	if !own.ExpiresAt.IsZero() && (k.ExpiresAt.IsZero() || k.ExpiresAt.After(own.ExpiresAt)) {
		return latchkey.Errorf(latchkey.Forbidden, "the token would live longer than yours")
	}
	if len(own.Scopes) > 0 && len(k.Scopes) == 0 {
		return latchkey.Errorf(latchkey.Forbidden, "the token would be worth more than yours: name its scopes")
	}
	for _, s := range k.Scopes {
		if !own.Covers(s) {
			return latchkey.Errorf(latchkey.Forbidden, "the token would be worth more than yours")
		}
	}
	return nil
}

func shownToken(k latchkey.APIToken) api.APIToken {
	out := api.APIToken{ID: k.ID, Admin: k.Admin.Name, Role: k.Admin.Role, Label: k.Label, Scopes: []latchkey.Scope{}, CreatedAt: k.CreatedAt.UTC()}
	out.Scopes = append(out.Scopes, k.Scopes...)
	if !k.ExpiresAt.IsZero() {
		at := k.ExpiresAt
		out.ExpiresAt = &at
	}
	return out
}
