//! Charts as SVG: a few lines over a logarithmic axis.

/// A line of a chart.
pub struct Line {
    pub name: String,
    /// From left to right; x above 0.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 96.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 44.0;
const COLOURS: [&str; 4] = ["#1f6feb", "#d1242f", "#1a7f37", "#8250df"];

/// A chart with its title and the names of its axes. Points that are no numbers are left out.
pub fn svg(title: &str, x_name: &str, y_name: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points).filter(|point| point.1.is_finite());
    let xs: Vec<f64> = points().map(|point| point.0.log10()).collect();
    let least = xs.iter().copied().fold(f64::INFINITY, f64::min);
    let most = xs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let top = points().map(|point| point.1).fold(1.0, f64::max).ceil();
    let x_of =
        |x: f64| LEFT + (x.log10() - least) / (most - least).max(1e-9) * (WIDTH - LEFT - RIGHT);
    let y_of = |y: f64| HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM);

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{title}</text>\n"
    );
    let steps = if top > 8.0 { 4.0 } else { top };
    for step in 0..=steps as u32 {
        let value = top * f64::from(step) / steps;
        let y = y_of(value);
        out += &format!(
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.1}</text>\n",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0
        );
    }
    for (x, _) in lines.first().map_or(&[][..], |line| &line.points[..]) {
        out += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x}</text>\n",
            x_of(*x),
            HEIGHT - BOTTOM + 18.0
        );
    }
    out += &format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x_name}</text>\n\
         <text x=\"14\" y=\"{:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {:.1})\">{y_name}</text>\n",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 8.0,
        HEIGHT / 2.0,
        HEIGHT / 2.0
    );
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let points: Vec<(f64, f64)> = line
            .points
            .iter()
            .filter(|point| point.1.is_finite())
            .map(|(x, y)| (x_of(*x), y_of(y.max(0.0))))
            .collect();
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        out += &format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
            path.join(" ")
        );
        for (x, y) in &points {
            out += &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>\n");
        }
        if let Some((x, y)) = points.last() {
            out += &format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>\n",
                x + 8.0,
                y + 4.0,
                line.name
            );
        }
    }
    out + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_points_lie_inside_and_what_is_no_number_is_left_out() {
        let line = Line {
            name: "encap".into(),
            points: vec![(1000.0, 0.9), (1e4, f64::NAN), (1e6, 12.0)],
        };
        let text = svg("t", "routes", "net cost", &[line]);
        assert_eq!(text.matches("<circle").count(), 2);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        assert!(text.contains("cx=\"56.0\"") && text.contains("cx=\"544.0\""));
        assert!(svg("t", "x", "y", &[]).ends_with("</svg>\n"));
    }
}
