//! Draws panels as bars: medians, with the spread as whiskers; ours in one colour.
//!
//! The same panels give the same bytes. The ground is white, so that it reads on a dark page, too.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::panel::{Block, Panel, number};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const WIDTH: u32 = 700;
/// Heights of what is drawn, in pixels: the head of a stack of panels, and what is said of it.
const HEAD: u32 = 28;
const DETAIL: u32 = 18;
const BLOCK: u32 = 22;
const ROW: u32 = 17;
const AXIS: u32 = 38;
const GAP: u32 = 14;
/// Width beside the bars, for the values.
const VALUES: u32 = 50;
/// Of the axis: a spread that is smaller than this is not seen.
const THIN: f64 = 0.015;

const INK: RGBColor = RGBColor(31, 35, 40);
const FAINT: RGBColor = RGBColor(101, 109, 118);
const GRID: RGBColor = RGBColor(225, 228, 232);
const OURS: RGBColor = RGBColor(9, 105, 218);
const PEER: RGBColor = RGBColor(175, 184, 193);

/// The SVG of stacks of panels, two stacks beside each other, with `title` and all values as text
/// for who does not see it.
pub fn draw(title: &str, stacks: &[Vec<Panel>]) -> String {
    let heights: Vec<u32> = stacks
        .chunks(2)
        .map(|pair| pair.iter().map(|stack| stack_height(stack)).max().unwrap_or(0))
        .collect();
    let mut svg = String::new();
    {
        let size = (WIDTH, heights.iter().sum());
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).unwrap();
        let names = names_width(stacks);
        let mut top = 0;
        for (pair, height) in stacks.chunks(2).zip(&heights) {
            for (stack, left) in pair.iter().zip([0, WIDTH / 2]) {
                let area = root.clone().shrink((left, top), (WIDTH / 2, *height));
                draw_stack(&area, stack, names);
            }
            top += height;
        }
        root.present().unwrap();
    }
    let told: Vec<String> = stacks.iter().flatten().map(Panel::told).collect();
    let open = svg.find('>').unwrap();
    let (title, told) = (escaped(title), escaped(&told.join("\n")));
    svg.replace_range(
        open..=open,
        &format!(" role=\"img\">\n<title>{title}</title>\n<desc>{told}</desc>"),
    );
    svg
}

fn stack_height(stack: &[Panel]) -> u32 {
    head_height(stack) + stack.iter().map(|panel| bars_height(panel) + AXIS + GAP).sum::<u32>()
}

fn head_height(stack: &[Panel]) -> u32 {
    if stack[0].detail.is_empty() { HEAD } else { HEAD + DETAIL }
}

fn bars_height(panel: &Panel) -> u32 {
    panel.blocks.iter().map(|block| BLOCK + ROW * count(block.rows.len())).sum()
}

/// What the longest name of a server takes, at the size that it is written in.
fn names_width(stacks: &[Vec<Panel>]) -> u32 {
    let rows =
        stacks.iter().flatten().flat_map(|panel| &panel.blocks).flat_map(|block| &block.rows);
    16 + rows.map(|(server, _)| count(server.chars().count()) * 6).max().unwrap_or(0)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap()
}

fn text(size: f64, color: RGBColor, side: HPos) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&color).pos(Pos::new(side, VPos::Center))
}

fn draw_stack(area: &Area<'_>, stack: &[Panel], names: u32) {
    let Panel { title, detail, .. } = &stack[0];
    let bold = ("sans-serif", 17.0).into_font().style(FontStyle::Bold).color(&INK);
    area.draw(&Text::new(title.as_str(), (12, 8), bold)).unwrap();
    area.draw(&Text::new(detail.as_str(), (12, 34), text(14.0, FAINT, HPos::Left))).unwrap();
    let mut top = head_height(stack);
    for panel in stack {
        let height = bars_height(panel) + AXIS;
        draw_panel(&area.clone().shrink((0, top), (WIDTH / 2, height)), panel, names);
        top += height + GAP;
    }
}

fn draw_panel(area: &Area<'_>, panel: &Panel, names: u32) {
    let rows = panel.blocks.iter().flat_map(|block| &block.rows);
    let longest = rows.map(|(_, series)| series.spread().1).fold(0.0, f64::max);
    let longest = if longest > 0.0 { longest } else { 1.0 };
    let height = f64::from(bars_height(panel));
    let mut chart = ChartBuilder::on(area)
        .margin_left(names)
        .margin_right(VALUES)
        .set_label_area_size(LabelAreaPosition::Bottom, AXIS)
        .build_cartesian_2d(0.0..longest, height..0.0)
        .unwrap();
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_labels(4)
        .set_all_tick_mark_size(4)
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .x_label_formatter(&|value| tick(*value))
        .x_label_style(text(13.0, FAINT, HPos::Center))
        .draw()
        .unwrap();
    let line = |from: (f64, f64), to, color: RGBColor| PathElement::new(vec![from, to], color);
    let written = |at: (f64, f64), gap: (i32, i32), words: String, color, side| {
        // On white, so that no line runs through it.
        let letters = i32::try_from(words.chars().count()).unwrap();
        let width = if matches!(side, HPos::Left) { 6 * letters } else { 0 };
        let ground = [(gap.0, -6), (gap.0 + width, 6)];
        EmptyElement::at(at)
            + Rectangle::new(ground, WHITE.filled())
            + Text::new(words, gap, text(14.0, color, side))
    };
    let mut elements = Vec::new();
    let mut words =
        vec![written((longest / 2.0, height), (0, 30), panel.axis.clone(), FAINT, HPos::Center)];
    elements.extend(panel.mark.map(|at| line((at, 0.0), (at, height), FAINT)));
    let mut y = 0.0;
    for Block { name, rows } in &panel.blocks {
        words.push(written((0.0, y + 14.0), (0, 0), name.clone(), INK, HPos::Left));
        y += f64::from(BLOCK);
        for (server, series) in rows {
            let middle = y + f64::from(ROW) / 2.0;
            let ours = server.starts_with("shipperd");
            let (low, high) = series.spread();
            let bar = [(0.0, middle - 6.0), (series.median(), middle + 6.0)];
            let color = if ours { OURS } else { PEER };
            chart.draw_series([Rectangle::new(bar, color.filled())]).unwrap();
            if high - low > longest * THIN {
                elements.push(line((low, middle), (high, middle), INK));
                for end in [low, high] {
                    elements.push(line((end, middle - 3.0), (end, middle + 3.0), INK));
                }
            }
            let ink = if ours { OURS } else { INK };
            words.push(written((0.0, middle), (-6, 0), server.clone(), ink, HPos::Right));
            let median = number(series.median());
            words.push(written((high, middle), (5, 0), median, ink, HPos::Left));
            y += f64::from(ROW);
        }
    }
    chart.draw_series(elements).unwrap();
    chart.draw_series(words).unwrap();
}

/// As short as a tick of the axis can be.
fn tick(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
