package stores

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dcbstore/dcb/pgstore"
)

func openPostgres(ctx context.Context, address string) (Store, error) {
	address, opts, err := postgresURL(address)
	if err != nil {
		return nil, err
	}
	store, err := pgstore.Open(ctx, address, opts)
	if unparsable, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		// Not wrapped, and only what comes after the URL: pgx leaves the password of ?password= in it.
		_, reason, _ := strings.Cut(unparsable.Error(), "`: ")
		return nil, wrong("%q: %s", Redact(address), reason)
	}
	if err != nil {
		return nil, fmt.Errorf("stores: open %s: %w", Redact(address), err)
	}
	return store, nil
}

// postgresURL takes the parameters that are ours out of the URL and returns the rest of it, which is for pgx.
func postgresURL(address string) (string, *pgstore.Options, error) {
	parsed, err := url.Parse(address)
	if err != nil || !strings.Contains(address, "://") {
		// The cause is left out, for it quotes the very part of the URL that is wrong, and that may be the password.
		return "", nil, wrong("%q is not a URL (special characters in a name or password are written %%40 for @, %%2F for /); %s",
			Redact(address), hint())
	}
	parameters, err := url.ParseQuery(parsed.RawQuery)
	if err != nil {
		return "", nil, wrong("the parameters of %q cannot be read; they are written ?name=value&name=value", Redact(address))
	}
	opts := &pgstore.Options{}
	for name, values := range parameters {
		if !strings.HasPrefix(name, "dcb_") {
			continue
		}
		if len(values) > 1 {
			return "", nil, wrong("%s is given more than once", name)
		}
		if err := setOption(opts, name, values[0]); err != nil {
			return "", nil, err
		}
		parameters.Del(name)
	}
	parsed.RawQuery = parameters.Encode()
	return parsed.String(), opts, nil
}

func setOption(opts *pgstore.Options, name, value string) error {
	switch name {
	case "dcb_schema":
		if value == "" {
			return wrong("dcb_schema is empty; leave it out for the schema dcb")
		}
		opts.Schema = value
	case "dcb_index":
		known := []pgstore.Index{pgstore.Tags, pgstore.TSVector}
		if !slices.Contains(known, pgstore.Index(value)) {
			return wrong("dcb_index=%q is unknown; it is %s or %s", value, pgstore.Tags, pgstore.TSVector)
		}
		opts.Index = pgstore.Index(value)
	default:
		return wrong("the parameter %s is unknown; there are dcb_schema and dcb_index", name)
	}
	return nil
}
