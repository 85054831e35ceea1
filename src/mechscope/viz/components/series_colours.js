// The colours of lines in the house style (viz/palette.py, which a test compares with these), for light and dark pages.

export const SERIES = {
  light: ["#0072B2", "#D55E00", "#009E73", "#B5579A", "#56B4E9", "#B87A00"],
  dark: ["#5AB4F0", "#FF8C4B", "#35CFA3", "#EBA3D2", "#A5DBFA", "#F2C04F"],
};
