% Print the values of the published programmes on the golden pair: octave programmes.m FOLDER
%
% FOLDER holds metrics/*.m of github.com/xingchenzhang/MEFB@9e185bf, and msssim.m and
% my_ssim_index_new.m of github.com/weizhou-geek/SFSN@14a3d6b, whose line of ssim_map is replaced by
% the formula of the comment below it. Octave 7.3 with the packages image and signal.
pkg load image signal
addpath(char(argv()(1)));
warning("off", "Octave:possible-matlab-short-circuit-operator");

% MATLAB's, which Octave lacks: frequencies from -1 to 1, zero at the middle.
function [u, v] = freqspace(sides, shape)
  axes = arrayfun(@(n) ((0:n - 1) - floor(n / 2)) * 2 / n, sides, "UniformOutput", false);
  [u, v] = meshgrid(axes{2}, axes{1});
end

folder = fileparts(mfilename("fullpath"));
grey = @(kind) rgb2gray(imread(fullfile(folder, [kind ".png"])));
under = grey("under");
over = grey("over");
fused = grey("fused");

tell = @(name, value, file) printf("%s,%.12g,%s\n", name, value, file);
tell("grey of under", mean(double(under(:))), "Octave rgb2gray");
tell("grey of over", mean(double(over(:))), "Octave rgb2gray");
tell("grey of fused", mean(double(fused(:))), "Octave rgb2gray");
tell("AG", metricsAvg_gradient(under, over, fused), "MEFB metricsAvg_gradient.m");
tell("EI", metricsEdge_intensity(under, over, fused), "MEFB metricsEdge_intensity.m");
tell("SF", metricsSpatial_frequency(under, over, fused), "MEFB metricsSpatial_frequency.m");
tell("MS-SSIM", (msssim(fused, under) + msssim(fused, over)) / 2, "Wang msssim.m");
tell("Qabf", metricsQabf(under, over, fused), "MEFB metricsQabf.m");
tell("VIFF", metricsVIF(under, over, fused), "Han VIFF_Public.m as MEFB metricsVIF.m");
tell("MEF-SSIM", mef_ms_ssim(cat(3, under, over), fused), "Ma mef_ms_ssim.m");
tell("Qcb", metricsQcb(under, over, fused), "MEFB metricsQcb.m");
