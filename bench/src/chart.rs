//! Charts as SVG: a few lines over a logarithmic axis.

/// A measured point.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Above 0.
    pub x: f64,
    /// No number: it could not be measured.
    pub y: f64,
    /// Drawn hollow if false.
    pub sure: bool,
}

/// A line of a chart.
pub struct Line {
    pub name: String,
    /// From left to right, the same x in all lines of a chart.
    pub points: Vec<Point>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 80.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 48.0;
const COLOURS: [&str; 4] = ["#1f6feb", "#d1242f", "#1a7f37", "#8250df"];
/// Names of lines are at least so far apart.
const NAMES: f64 = 15.0;

/// A chart with its title and the names of its axes; both axes start at the smallest x, and at 0.
pub fn svg(title: &str, x_name: &str, y_name: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let xs: Vec<f64> = points().map(|point| point.x.log10()).collect();
    let least = xs.iter().copied().fold(f64::INFINITY, f64::min);
    let most = xs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let highest = points().map(|point| point.y).filter(|y| y.is_finite()).fold(0.1, f64::max);
    let step = step(highest);
    let top = (highest / step).ceil() * step;
    let width = WIDTH - LEFT - RIGHT;
    let x_of = |x: f64| LEFT + (x.log10() - least) / (most - least).max(1e-9) * width;
    let y_of = |y: f64| HEIGHT - BOTTOM - y.max(0.0) / top * (HEIGHT - TOP - BOTTOM);

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{title}</text>\n"
    );
    let mut value = 0.0;
    while value <= top + step / 2.0 {
        let y = y_of(value);
        out += &format!(
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\n{}",
            WIDTH - RIGHT,
            text(LEFT - 8.0, y + 4.0, "end", "#333", &short(value))
        );
        value += step;
    }
    for point in lines.first().map_or(&[][..], |line| &line.points[..]) {
        let x = x_of(point.x);
        out += &text(x, HEIGHT - BOTTOM + 18.0, "middle", "#333", &short(point.x));
    }
    out += &text(LEFT + width / 2.0, HEIGHT - 8.0, "middle", "#333", x_name);
    let middle = TOP + (HEIGHT - TOP - BOTTOM) / 2.0;
    out += &format!(
        "<text x=\"16\" y=\"{middle:.1}\" text-anchor=\"middle\" fill=\"#333\" transform=\"rotate(-90 16 {middle:.1})\">{y_name}</text>\n"
    );
    let mut names = Vec::new();
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let seen = line.points.iter().filter(|point| point.y.is_finite());
        let places: Vec<(f64, f64, bool)> =
            seen.map(|point| (x_of(point.x), y_of(point.y), point.sure)).collect();
        let path: Vec<String> = places.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
        out += &format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
            path.join(" ")
        );
        for (x, y, sure) in &places {
            let fill = if *sure { colour } else { &"white" };
            out += &format!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" stroke=\"{colour}\" stroke-width=\"2\" fill=\"{fill}\"/>\n"
            );
        }
        names.extend(places.last().map(|(x, y, _)| (*x, *y, *colour, &line.name)));
    }
    names.sort_by(|one, other| one.1.total_cmp(&other.1));
    let mut free = f64::NEG_INFINITY;
    for (x, y, colour, name) in names {
        let y = y.max(free);
        free = y + NAMES;
        out += &text(x + 10.0, y + 4.0, "start", colour, name);
    }
    out + "</svg>\n"
}

fn text(x: f64, y: f64, anchor: &str, colour: &str, words: &str) -> String {
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{words}</text>\n"
    )
}

/// Between two lines of the grid: 1, 2 or 5 times a power of ten, so that there are six of them at most.
fn step(highest: f64) -> f64 {
    let power = 10_f64.powf((highest / 6.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
    steps.into_iter().find(|step| highest / step <= 6.0).unwrap_or(power * 10.0)
}

/// A number as people write it: 0.5, 16, 4094, 10k, 1M.
pub fn short(value: f64) -> String {
    let is_whole = |value: f64| (value - value.round()).abs() < 1e-9;
    if value >= 1e6 && is_whole(value / 1e6) {
        format!("{:.0}M", value / 1e6)
    } else if value >= 1e3 && is_whole(value / 1e3) {
        format!("{:.0}k", value / 1e3)
    } else if is_whole(value) {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, points: &[(f64, f64)]) -> Line {
        let point = |(x, y): &(f64, f64)| Point { x: *x, y: *y, sure: *x < 1e6 };
        Line { name: name.into(), points: points.iter().map(point).collect() }
    }

    #[test]
    fn all_points_lie_inside_and_what_is_no_number_is_left_out() {
        let one = line("encap", &[(1000.0, 0.9), (1e4, f64::NAN), (1e6, 12.0)]);
        let text = svg("t", "routes", "net cost", &[one]);
        assert_eq!(text.matches("<circle").count(), 2);
        assert_eq!(text.matches("fill=\"white\"/>").count(), 2, "the ground and the unsure point");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        assert!(text.contains("cx=\"56.0\"") && text.contains("cx=\"560.0\""));
        for words in [">1k<", ">10k<", ">1M<", ">12<"] {
            assert!(text.contains(words), "{words} in {text}");
        }
        assert!(svg("t", "x", "y", &[]).ends_with("</svg>\n"));
        let nothing = line("encap", &[(1000.0, f64::NAN)]);
        assert!(!svg("t", "x", "y", &[nothing]).contains("NaN"));
    }

    #[test]
    fn names_of_lines_that_end_close_together_do_not_overlap() {
        let text = svg("t", "x", "y", &[line("a", &[(1.0, 5.0)]), line("b", &[(1.0, 5.01)])]);
        let place = |name: &str| -> f64 {
            let before = text.split(&format!(">{name}<")).next().unwrap();
            let y = before.rsplit("y=\"").next().unwrap();
            y.split('"').next().unwrap().parse().unwrap()
        };
        assert!((place("a") - place("b")).abs() >= NAMES - 0.2);
    }

    #[test]
    fn the_grid_has_few_round_lines() {
        for (highest, wanted) in [(0.9, 0.2), (2.4, 0.5), (6.0, 1.0), (9.6, 2.0), (13.0, 5.0)] {
            assert!((step(highest) - wanted).abs() < 1e-9, "{highest}: {}", step(highest));
        }
    }
}
