package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dcbstore/dcb/cmd/dcbstore/internal/observe"
	"github.com/dcbstore/dcb/cmd/dcbstore/internal/serve"
	"github.com/dcbstore/dcb/stores"
)

const serveHelp = `Serve the store to other programs until it is interrupted: by dcb's own protocol, by UmaDB's protocol (gRPC), and over HTTP.

What is listened on is printed on standard output as soon as everything answers; with port 0 it is a port that is free. What happens is
logged on standard error: a line for each call that failed, and never an event, a tag or a key.

Who may call. Without --keys everyone who reaches the server may do everything. So it listens on this machine only, and an address that
other machines reach is refused, unless there are TLS (--tls-cert, --tls-key) and keys (--keys, or --tls-client-ca, which asks clients
for a certificate), or --insecure says that something else protects it. A line of the file of keys is

  NAME read,append KEY

where KEY has 16 bytes or more, or is sha256: and the hash of the key in hexadecimal. A client sends authorization: Bearer KEY.
SIGHUP makes the server read keys and certificates again; if a file is wrong, what was read before stays in use.

How it stops. SIGINT or SIGTERM stops it in good order: health and readiness say no, calls under way finish, who follows is told to come
back, the store is closed, and the exit code is 0. What has not finished after --stop-timeout is cut off. A second signal ends the process at
once, which loses nothing that was acknowledged.

How it is seen. GET /metrics is for Prometheus, /healthz and /readyz for who asks whether it lives. Traces go to a collector of OpenTelemetry if
the environment names one (OTEL_EXPORTER_OTLP_ENDPOINT and its like). The folder deploy of the source has a dashboard, alerts, and a
unit for systemd.`

const serveExample = `  dcbstore serve
  dcbstore serve --store disk:/var/lib/events --http off
  dcbstore serve --dcb :7322 --umadb :50051 --http :8080 --tls-cert cert.pem --tls-key key.pem --keys keys
  dcbstore serve --dcb unix:/run/dcb.sock --umadb off --http off`

func (p *program) serveCommand() *cobra.Command {
	var config serve.Config
	var logs logFlags
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Serve the store to other programs",
		Long:    serveHelp,
		Example: serveExample,
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.serve(cmd.Context(), config, logs) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&config.DCB, "dcb", serve.DefaultDCB, "listen for dcb's protocol on `HOST:PORT`, unix:PATH, or off")
	flags.StringVar(&config.UmaDB, "umadb", serve.DefaultUmaDB, "listen for UmaDB's protocol (gRPC) on `HOST:PORT`, or off")
	flags.StringVar(&config.HTTP, "http", serve.DefaultHTTP, "listen for HTTP on `HOST:PORT`, or off")
	flags.StringVar(&config.TLSCert, "tls-cert", "", "the server's certificate and what it is signed by, a `FILE` in PEM")
	flags.StringVar(&config.TLSKey, "tls-key", "", "the certificate's key, a `FILE` in PEM")
	flags.StringVar(&config.TLSClientCA, "tls-client-ca", "", "let in only clients with a certificate signed by one in `FILE`")
	flags.StringVar(&config.KeysFile, "keys", "", "let in only callers with a key that is in `FILE`")
	flags.BoolVar(&config.Insecure, "insecure", false, "be reached from other machines without TLS and keys all the same")
	flags.StringSliceVar(&config.Origins, "origins", nil, "let pages from these `ORIGINS` call from browsers, as in https://app.example.com")
	limitFlags(flags, &config)
	flags.DurationVar(&config.Keepalive, "keepalive", 0, "ping silent connections of UmaDB's protocol after `TIME` (default 20s)")
	flags.DurationVar(&config.StopTimeout, "stop-timeout", serve.DefaultStopTimeout, "cut off what has not finished `TIME` after the stop was asked for")
	flags.StringVar(&logs.format, "log-format", "text", "log as text or json")
	flags.StringVar(&logs.level, "log-level", "info", "log what is debug, info, warn or error, and above")
	flags.StringVar(&config.Pprof, "pprof", "", "serve profiles at /debug/pprof/ on `HOST:PORT` of this machine")
	return cmd
}

func limitFlags(flags *pflag.FlagSet, config *serve.Config) {
	limits := &config.Limits
	flags.Var((*byteSize)(&limits.MessageBytes), "max-message", "refuse requests of more than `BYTES`, as in 8MiB (default 80MiB)")
	flags.IntVar(&limits.Connections, "max-connections", 0, "close connections beyond `N` on each address (default 10000)")
	flags.IntVar(&limits.Calls, "max-calls", 0, "let one connection have `N` calls under way, waiting and following included (default 4096)")
	flags.IntVar(&limits.QueryItems, "max-items", 0, "refuse queries of more than `N` items (default 65536)")
	flags.DurationVar(&limits.CallTime, "call-timeout", 0, "end calls that take longer than `TIME`, other than waiting and following (default 1m)")
}

// gcPercent is by how much the heap may grow before it is collected, where GOGC does not say.
const gcPercent = 400

// logFlags say how to log.
type logFlags struct{ format, level string }

// logger returns a logger that writes to to.
func (l logFlags) logger(to io.Writer) (*slog.Logger, error) {
	options := new(slog.HandlerOptions)
	switch l.level {
	case "debug":
		options.Level = slog.LevelDebug
	case "info":
		options.Level = slog.LevelInfo
	case "warn":
		options.Level = slog.LevelWarn
	case "error":
		options.Level = slog.LevelError
	default:
		return nil, usagef("a level is debug, info, warn or error", "--log-level %q is none", l.level)
	}
	switch l.format {
	case "text":
		return slog.New(slog.NewTextHandler(to, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(to, options)), nil
	}
	return nil, usagef("a format is text or json", "--log-format %q is none", l.format)
}

func (p *program) serve(ctx context.Context, config serve.Config, logs logFlags) error {
	log, err := logs.logger(p.err)
	if err != nil {
		return err
	}
	slog.SetDefault(log) // for the stores, which log by it
	if os.Getenv("GOGC") == "" {
		// What lives is little, and what calls leave behind is much: collecting less often is worth a
		// sixth of the appends.
		debug.SetGCPercent(gcPercent)
	}
	if !stores.Lasts(p.named()) {
		log.Warn("the store is in memory: everything is forgotten when the server stops")
	}
	build := stamp()
	config.Store, config.Log, config.Build = p.named(), log, observe.Build{Version: build.Version, Commit: build.Commit}
	config.Open = func(ctx context.Context) (stores.Store, error) { return stores.Open(ctx, p.named()) }
	config.Ready = func(a serve.Addresses) { p.printAddresses(a, logs.format == "json") }
	err = serve.Run(ctx, config)
	if refusal, ok := errors.AsType[*serve.Refusal](err); ok {
		return usage{err, refusal.Hint}
	}
	return err
}

// printAddresses says where the server listens, in a line each, or as an object where the log is
// objects too.
func (p *program) printAddresses(a serve.Addresses, asJSON bool) {
	if asJSON {
		_ = p.printJSON(a) // output remembers the error
		return
	}
	for _, listening := range []struct{ on, address string }{{"dcb", a.DCB}, {"umadb", a.UmaDB}, {"http", a.HTTP}, {"pprof", a.Pprof}} {
		if listening.address != "" {
			fmt.Fprintf(p.out, "%s %s\n", listening.on, listening.address)
		}
	}
}

// byteSize is a flag that holds a number of bytes.
type byteSize int

func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return strconv.Itoa(int(*b))
}

// Type is what pflag calls the flag's value.
func (*byteSize) Type() string { return "bytes" }

// Set reads a number with a unit behind it, or none.
func (b *byteSize) Set(text string) error {
	unit := 1
	for _, u := range []struct {
		name  string
		bytes int
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}} {
		if number, found := strings.CutSuffix(text, u.name); found {
			text, unit = number, u.bytes
			break
		}
	}
	number, err := strconv.ParseUint(text, 10, 31)
	if err != nil || number*uint64(unit) > 1<<40 {
		return errors.New("it is a number of bytes, or of KiB, MiB or GiB")
	}
	*b = byteSize(number) * byteSize(unit)
	return nil
}
