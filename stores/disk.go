package stores

import (
	"context"
	"log/slog"
	"strings"

	"github.com/dcbstore/dcb/diskstore"
)

func openDisk(ctx context.Context, url string) (Store, error) {
	dir, err := Dir(url)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return diskstore.Open(dir, &diskstore.Options{Log: slog.Default()})
}

// Dir returns the directory of a URL disk:PATH. Errors: [ErrURL] for any other URL.
func Dir(url string) (string, error) {
	dir, ok := strings.CutPrefix(url, "disk:")
	switch {
	case !ok:
		return "", wrong("%q names no directory; one is named as disk:PATH", Redact(url))
	case dir == "":
		return "", wrong("disk: names no directory; write disk:PATH, for example %s", Default)
	case strings.HasPrefix(dir, "//"):
		return "", wrong("%q: a path follows disk: as it is; write disk:%s", url, strings.TrimLeft(dir, "/")+" or disk:/"+strings.TrimLeft(dir, "/"))
	case strings.ContainsRune(dir, 0):
		return "", wrong("%q: a path has no NUL", url)
	}
	return dir, nil
}
