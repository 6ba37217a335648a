package main

import (
	"io"
	stdlog "log"
	"log/slog"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	sloggokit "github.com/tjhop/slog-gokit"
)

// newBareLogger returns a logger that adds neither time nor caller.
func newBareLogger(format, least string, w io.Writer) log.Logger {
	w = log.NewSyncWriter(w)
	logger := log.NewLogfmtLogger(w)
	if format == "json" {
		logger = log.NewJSONLogger(w)
	}
	return level.NewFilter(logger, level.Allow(level.ParseDefault(least, level.InfoValue())))
}

// libraryLoggers return what exporter-toolkit and net/http log to: lines of
// the same form, through the same logger.
func libraryLoggers(bare log.Logger) (*slog.Logger, *stdlog.Logger) {
	// slog-gokit brings its own time and caller; only the key differs.
	renamed := log.LoggerFunc(func(pairs ...any) error {
		for i := 0; i+1 < len(pairs); i += 2 {
			if at, ok := pairs[i+1].(time.Time); ok && pairs[i] == slog.TimeKey {
				pairs[i], pairs[i+1] = "ts", at.UTC().Format("2006-01-02T15:04:05.999Z07:00")
			}
		}
		return bare.Log(pairs...)
	})
	handler := sloggokit.NewGoKitHandler(renamed, slog.LevelDebug)
	return slog.New(handler), slog.NewLogLogger(handler, slog.LevelError)
}
