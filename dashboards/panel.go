package dashboards

import "strconv"

const gridWidth = 24

// The states' colors, Grafana's names, which follow the light and the dark
// theme. A text always stands beside a color.
const (
	good     = "green"
	late     = "yellow"
	early    = "orange"
	serious  = "dark-orange"
	missing  = "red"
	notDue   = "blue"
	excused  = "purple"
	pending  = "light-purple"
	neutral  = "text"
	overdue  = "semi-dark-orange"
	unsettle = "semi-dark-yellow"
)

// section is a row with its panels, or panels without a row where it has no title.
type section struct {
	title     string
	repeat    string
	collapsed bool
	panels    []panel
}

// layout places the panels of the sections from left to right and from top to
// bottom, by their widths and heights, and numbers them.
func layout(sections ...section) []panel {
	var (
		out   []panel
		id, y int
	)
	for _, s := range sections {
		placed := make([]panel, 0, len(s.panels))
		row := panel{}
		if s.title != "" {
			id++
			row = panel{ID: id, Type: "row", Title: s.title, Repeat: s.repeat, Collapsed: &s.collapsed, GridPos: gridPos{Y: y, W: gridWidth, H: 1}}
			y++
		}
		top, x, height := y, 0, 0
		for _, p := range s.panels {
			if x+p.GridPos.W > gridWidth {
				x, y, height = 0, y+height, 0
			}
			id++
			p.ID, p.GridPos.X, p.GridPos.Y = id, x, y
			x, height = x+p.GridPos.W, max(height, p.GridPos.H)
			placed = append(placed, p)
		}
		inner := []panel{}
		if s.collapsed {
			// The panels of a closed row live in it and take no room.
			inner, placed, y = placed, nil, top
		} else {
			y += height
		}
		if s.title != "" {
			row.Panels = &inner
			out = append(out, row)
		}
		out = append(out, placed...)
	}
	return out
}

// now asks for one value per series, that of the end of the time range.
func now(expr, legend string) target {
	return target{Expr: expr, LegendFormat: legend, Format: "time_series", Instant: true}
}

// rows asks for one value per series as rows of a table.
func rows(expr string) target { return target{Expr: expr, Format: "table", Instant: true} }

// over asks for the series over the time range.
func over(expr, legend string) target {
	return target{Expr: expr, LegendFormat: legend, Format: "time_series", Range: true}
}

func newPanel(kind, title, description string, w, h int, options, custom object, targets []target) panel {
	for i := range targets {
		targets[i].Datasource = prometheus()
		targets[i].EditorMode = "code"
		targets[i].RefID = refID(i)
	}
	return panel{
		Type:        kind,
		Title:       title,
		Description: description,
		Datasource:  new(prometheus()),
		GridPos:     gridPos{W: w, H: h},
		Options:     options,
		Targets:     targets,
		FieldConfig: &fieldConfig{
			Defaults:  fieldDefaults{Color: object{"mode": "palette-classic"}, Custom: custom},
			Overrides: []override{},
		},
	}
}

func refID(i int) string { return string(rune('A' + i)) }

// stat returns numbers large enough to be read from a wall.
func stat(title, description string, w, h int, targets ...target) panel {
	p := newPanel("stat", title, description, w, h, object{
		"colorMode":     "background",
		"graphMode":     "none",
		"justifyMode":   "center",
		"orientation":   "auto",
		"textMode":      "auto",
		"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
	}, nil, targets)
	p.FieldConfig.Defaults.Color = object{"mode": "thresholds"}
	return p
}

func timeseries(title, description string, w, h int, targets ...target) panel {
	return newPanel("timeseries", title, description, w, h, object{
		"legend":  object{"calcs": []string{"lastNotNull", "max"}, "displayMode": "table", "placement": "bottom", "showLegend": true},
		"tooltip": object{"mode": "multi", "sort": "desc"},
	}, object{
		"drawStyle":         "line",
		"lineInterpolation": "linear",
		"lineWidth":         2,
		"fillOpacity":       10,
		"gradientMode":      "none",
		"showPoints":        "never",
		"pointSize":         5,
		"spanNulls":         false,
		"barAlignment":      0,
		"axisPlacement":     "auto",
		"axisLabel":         "",
		"scaleDistribution": object{"type": "linear"},
		"stacking":          object{"mode": "none", "group": "A"},
		"hideFrom":          object{"tooltip": false, "viz": false, "legend": false},
		"thresholdsStyle":   object{"mode": "off"},
	}, targets)
}

// stacked is for the parts of a whole, and for nothing else.
func (p panel) stacked() panel {
	p.FieldConfig.Defaults.Custom["stacking"] = object{"mode": "normal", "group": "A"}
	p.FieldConfig.Defaults.Custom["fillOpacity"] = 60
	p.FieldConfig.Defaults.Custom["lineWidth"] = 1
	return p
}

// daily draws one point per day of the last four weeks and two days, whatever
// the time range, unless that is an absolute one.
func (p panel) daily() panel {
	p.TimeFrom, p.Interval, p.MaxDataPoints = "30d", "1d", 800
	for i := range p.Targets {
		p.Targets[i].Interval = "1d"
	}
	return p
}

func (p panel) bars() panel {
	p.FieldConfig.Defaults.Custom["drawStyle"] = "bars"
	// A bar begins at the midnight that it is drawn for.
	p.FieldConfig.Defaults.Custom["barAlignment"] = 1
	return p
}

// steady lets a rate see several collections, which come minutes apart.
func (p panel) steady() panel {
	p.Interval = "5m"
	return p
}

// column is a field of a table, by the name that the query gives it, and its heading.
type column struct{ field, heading string }

// table returns the columns in this order. A field without a heading is kept for
// links but not shown; every other field of the queries is dropped.
func table(title, description string, w, h int, columns []column, drop []string, targets ...target) panel {
	p := newPanel("table", title, description, w, h, object{
		"showHeader": true,
		"footer":     object{"show": false, "reducer": []string{"sum"}, "fields": "", "countRows": false},
		"sortBy":     []object{},
	}, object{"align": "auto", "displayMode": "auto", "inspect": false, "filterable": false}, targets)
	p.FieldConfig.Defaults.Color = object{"mode": "thresholds"}
	return p.organized(columns, drop)
}

func (p panel) organized(columns []column, drop []string) panel {
	exclude, index, rename := object{"Time": true}, object{}, object{}
	for _, d := range drop {
		exclude[d] = true
	}
	for i, c := range columns {
		index[c.field] = i
		if c.heading == "" {
			p = p.override(byName(c.field), property{"custom.hidden", true})
			continue
		}
		rename[c.field] = c.heading
	}
	p.Transformations = []transformation{
		{ID: "merge", Options: object{}},
		{ID: "organize", Options: object{"excludeByName": exclude, "indexByName": index, "renameByName": rename}},
	}
	return p
}

// narrow lets many columns stand side by side.
func (p panel) narrow() panel {
	p.FieldConfig.Defaults.Custom["minWidth"] = 70
	return p
}

func (p panel) sortedBy(heading string) panel {
	p.Options["sortBy"] = []object{{"displayName": heading, "desc": true}}
	return p
}

// cell colors the cells of a column by thresholds.
func (p panel) cell(heading string, steps ...step) panel {
	return p.override(byName(heading),
		property{"custom.displayMode", "color-background"},
		property{"thresholds", thresholds{Mode: "absolute", Steps: steps}})
}

func barchart(title, description string, w, h int, columns []column, drop []string, targets ...target) panel {
	p := newPanel("barchart", title, description, w, h, object{
		"orientation":         "horizontal",
		"stacking":            "percent",
		"showValue":           "never",
		"groupWidth":          0.7,
		"barWidth":            0.9,
		"barRadius":           0,
		"fullHighlight":       false,
		"xTickLabelRotation":  0,
		"xTickLabelSpacing":   0,
		"xTickLabelMaxLength": 20,
		"legend":              object{"calcs": []string{}, "displayMode": "list", "placement": "bottom", "showLegend": true},
		"tooltip":             object{"mode": "multi", "sort": "none"},
	}, object{
		"lineWidth":         1,
		"fillOpacity":       80,
		"gradientMode":      "none",
		"axisPlacement":     "auto",
		"axisLabel":         "",
		"scaleDistribution": object{"type": "linear"},
		"hideFrom":          object{"tooltip": false, "viz": false, "legend": false},
		"thresholdsStyle":   object{"mode": "off"},
	}, targets)
	return p.organized(columns, drop)
}

func bargauge(title, description string, w, h int, targets ...target) panel {
	return newPanel("bargauge", title, description, w, h, object{
		"displayMode":   "basic",
		"orientation":   "horizontal",
		"showUnfilled":  true,
		"minVizHeight":  10,
		"minVizWidth":   0,
		"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
	}, nil, targets)
}

func stateTimeline(title, description string, w, h int, targets ...target) panel {
	p := newPanel("state-timeline", title, description, w, h, object{
		"alignValue":  "left",
		"mergeValues": true,
		"rowHeight":   0.9,
		"showValue":   "never",
		"legend":      object{"displayMode": "list", "placement": "bottom", "showLegend": true},
		"tooltip":     object{"mode": "single", "sort": "none"},
	}, object{"fillOpacity": 70, "lineWidth": 0, "spanNulls": false}, targets)
	p.FieldConfig.Defaults.Color = object{"mode": "thresholds"}
	return p
}

func markdown(title, description, content string, w, h int) panel {
	return panel{
		Type:        "text",
		Title:       title,
		Description: description,
		GridPos:     gridPos{W: w, H: h},
		Options:     object{"mode": "markdown", "content": content},
	}
}

func (p panel) unit(unit string) panel {
	p.FieldConfig.Defaults.Unit = unit
	return p
}

// count is for whole numbers from 0 up, without "K" for thousands.
func (p panel) count() panel {
	p.FieldConfig.Defaults.Unit = "none"
	p.FieldConfig.Defaults.Decimals = new(0)
	p.FieldConfig.Defaults.Min = new(0.0)
	return p
}

func (p panel) share() panel {
	p.FieldConfig.Defaults.Unit = "percentunit"
	p.FieldConfig.Defaults.Decimals = new(0)
	p.FieldConfig.Defaults.Min = new(0.0)
	p.FieldConfig.Defaults.Max = new(1.0)
	return p
}

// orNoData says why the panel is empty, in a neutral color, since an empty
// panel must not look like a good one.
func (p panel) orNoData(why string) panel {
	p.FieldConfig.Defaults.NoValue = why
	if p.Type == "stat" {
		p = p.mapped(mapping{"special", object{"match": "null+nan", "result": object{"text": why, "color": neutral, "index": 9}}})
	}
	return p
}

func (p panel) mapped(m ...mapping) panel {
	p.FieldConfig.Defaults.Mappings = append(p.FieldConfig.Defaults.Mappings, m...)
	return p
}

func (p panel) thresholds(steps ...step) panel {
	p.FieldConfig.Defaults.Thresholds = &thresholds{Mode: "absolute", Steps: steps}
	return p
}

// base is the color below all thresholds, from that of the values from v up.
func base(color string) step { return step{Color: color} }

func from(v float64, color string) step { return step{Color: color, Value: &v} }

func (p panel) override(m matcher, properties ...property) panel {
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{m, properties})
	return p
}

func byName(name string) matcher { return matcher{"byName", name} }

func byQuery(i int) matcher { return matcher{"byFrameRefID", refID(i)} }

// colored gives the series or field of this name its color.
func (p panel) colored(name, color string) panel {
	return p.override(byName(name), fixed(color))
}

func fixed(color string) property {
	return property{"color", object{"mode": "fixed", "fixedColor": color}}
}

// below maps every value from the lowest to max to a text.
func below(max float64, text, color string, index int) mapping {
	return mapping{"range", object{"from": -1e12, "to": max, "result": object{"text": text, "color": color, "index": index}}}
}

func exactly(value float64, text, color string, index int) mapping {
	return mapping{"value", object{strconv.FormatFloat(value, 'f', -1, 64): object{"text": text, "color": color, "index": index}}}
}
