package httpd

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"latchkey"
)

// A reply is what huma writes: a status and a JSON body.
type reply[O any] struct {
	Status int
	Body   O
}

// ask registers a route that answers with a body.
func ask[I, O any](a huma.API, method, path, summary string, status int, do func(context.Context, *I) (O, error)) {
	huma.Register(a, operation(method, path, summary, status), func(ctx context.Context, in *I) (*reply[O], error) {
		err := spared(ctx, method, in)
		var out O
		if err == nil {
			out, err = do(ctx, in)
		}
		if err != nil {
			return nil, noted(ctx, err)
		}
		return &reply[O]{status, out}, nil
	})
}

// tell registers a route that answers with success or a problem.
func tell[I any](a huma.API, method, path, summary string, do func(context.Context, *I) error) {
	huma.Register(a, operation(method, path, summary, http.StatusNoContent), func(ctx context.Context, in *I) (*struct{}, error) {
		err := spared(ctx, method, in)
		if err == nil {
			err = do(ctx, in)
		}
		if err != nil {
			return nil, noted(ctx, err)
		}
		return nil, nil
	})
}

func operation(method, path, summary string, status int) huma.Operation {
	var params []*huma.Param
	if method == http.MethodPost {
		params = append(params, &huma.Param{
			Name: keyHeader, In: "header", Schema: &huma.Schema{Type: huma.TypeString},
			Description: "names the command: sent again within 24 hours it gets the same answer and is not carried out again",
		})
	}
	return huma.Operation{
		Parameters:  params,
		OperationID: strings.ToLower(method) + strings.NewReplacer("/api/v1", "", "/", "-", "{", "", "}", "").Replace(path),
		Method:      method, Path: path, Summary: summary, DefaultStatus: status,
		MaxBodyBytes: -1, BodyReadTimeout: -1, // it has arrived
		SkipValidateBody:             true, // the rooms check what is meant, strictJSON how it is written
		RejectUnknownQueryParameters: true,
		Security:                     []map[string][]string{{"token": {}}},
	}
}

// noted puts the error into the log line and words it for the answer.
func noted(ctx context.Context, err error) error {
	p := problemOf(err)
	late(ctx, err)
	note(ctx, "code", p.Code)
	if p.Code == latchkey.Internal && p.cause != nil {
		note(ctx, "error", p.cause.Error())
	}
	return p
}

// unexplained puts the cause of a trouble of the server's own into the log line
// of a request that no route answers.
func unexplained(ctx context.Context, p *problem) {
	if p.Status >= http.StatusInternalServerError && p.cause != nil {
		note(ctx, "cause", p.cause.Error())
	}
}
