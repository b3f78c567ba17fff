package httpd

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/report"
)

// Tokens keeps the counters of hardware tokens and says where their codes lie.
// All return NotFound where there is no such authenticator, or no machine with
// the name.
type Tokens interface {
	// Resync finds a token by two consecutive codes; its counter never goes back.
	Resync(ctx context.Context, actor string, id latchkey.AuthenticatorID, in api.Resync) (api.Resynced, error)
	// MoveLease lets a machine hold the token's codes, and no other.
	MoveLease(ctx context.Context, actor string, id latchkey.AuthenticatorID, machine string) (api.MovedLease, error)
}

// TokenPath is the part of an address that names a hardware token.
type TokenPath struct {
	ID string `path:"id"`
}

type inResync struct {
	TokenPath
	Body api.Resync
}

type inHOTPSizes struct {
	User     string `query:"user" doc:"name or id; without it everybody who has a token"`
	Back     int    `query:"back" default:"30" doc:"days of the audit trail that count"`
	Days     int    `query:"days" doc:"of the trip; without it the longest that there was"`
	Variance int    `query:"variance" default:"20" doc:"reserve on top, in percent"`
	Paged
}

func (in *inHOTPSizes) chosen() url.Values {
	return given("user", in.User, "back", strconv.Itoa(in.Back), "days", strconv.Itoa(in.Days), "variance", strconv.Itoa(in.Variance))
}

type inMoveLease struct {
	TokenPath
	Body api.MoveLease
}

func (r Rooms) hardwareTokens(a huma.API) {
	const path = "/api/v1/authenticators/{id}"
	ask(a, http.MethodPost, path+"/resync", "Bring the counter of a hardware token along, by two consecutive codes", http.StatusOK,
		func(ctx context.Context, in *inResync) (api.Resynced, error) {
			return r.Authenticators.Resync(ctx, actor(ctx), latchkey.AuthenticatorID(in.ID), in.Body)
		})
	list(a, "/api/v1/hotp-sizes", "Suggest from the audit trail how many codes of hardware tokens machines should hold", 2,
		func(ctx context.Context, in *inHOTPSizes, p latchkey.Page) ([]api.HOTPSize, []string, error) {
			return r.Report.HOTPSizes(ctx, in.User, report.Sizing{Back: in.Back, Days: in.Days, Variance: in.Variance}, p)
		})
	ask(a, http.MethodPut, path+"/lease", "Let another machine hold the offline codes of a hardware token", http.StatusOK,
		func(ctx context.Context, in *inMoveLease) (api.MovedLease, error) {
			return r.Authenticators.MoveLease(ctx, actor(ctx), latchkey.AuthenticatorID(in.ID), in.Body.Machine)
		})
}
