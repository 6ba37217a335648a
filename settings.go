package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"

	"feishu_attendance_exporter/config"
)

// settings is the configuration in force, and how it is replaced.
type settings struct {
	load    func() (*config.Config, error)
	apply   func(*config.Config)
	current atomic.Pointer[config.Config]

	mu      sync.Mutex // one reload at a time
	success prometheus.Gauge
	at      prometheus.Gauge
}

func newSettings(cfg *config.Config, load func() (*config.Config, error), apply func(*config.Config)) *settings {
	gauge := func(n, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name + "_config_last_reload_" + n, Help: help})
	}
	s := &settings{
		load:    load,
		apply:   apply,
		success: gauge("successful", "1 if the last reload of the configuration succeeded."),
		at:      gauge("success_timestamp_seconds", "When the configuration in force was read."),
	}
	s.current.Store(cfg)
	s.success.Set(1)
	s.at.SetToCurrentTime()
	return s
}

// reload reads the configuration again. A bad one leaves the old one in force.
func (s *settings) reload() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if err != nil {
			s.success.Set(0)
			return
		}
		s.success.Set(1)
		s.at.SetToCurrentTime()
	}()
	cfg, err := s.load()
	if err != nil {
		return err
	}
	s.current.Store(cfg)
	s.apply(cfg)
	return nil
}

// reloadOnHangup reloads on each SIGHUP until ctx ends.
func (s *settings) reloadOnHangup(ctx context.Context, logger log.Logger) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			if err := s.reload(); err != nil {
				level.Error(logger).Log("during", "reload", "err", err, "msg", "the old configuration stays in force")
				continue
			}
			level.Info(logger).Log("msg", "configuration reloaded")
		}
	}
}

// String returns the configuration in force, secrets masked.
func (s *settings) String() string { return s.current.Load().String() }

// Describe implements prometheus.Collector.
func (s *settings) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements prometheus.Collector.
func (s *settings) Collect(ch chan<- prometheus.Metric) {
	ch <- s.success
	ch <- s.at
}
